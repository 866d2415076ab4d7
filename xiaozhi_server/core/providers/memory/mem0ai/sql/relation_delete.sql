DELETE FROM memory_relation WHERE user_id = %(user_id)s AND id = %(id)s
