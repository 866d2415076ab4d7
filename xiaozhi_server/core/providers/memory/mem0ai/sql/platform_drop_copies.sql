DELETE FROM memory_entry WHERE user_id = %(user_id)s AND id = ANY (%(ids)s)
