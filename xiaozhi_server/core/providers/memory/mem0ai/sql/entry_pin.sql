UPDATE memory_entry SET pinned = %(pinned)s WHERE user_id = %(user_id)s AND id = %(id)s
