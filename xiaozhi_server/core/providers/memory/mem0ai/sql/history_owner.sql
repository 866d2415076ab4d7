SELECT user_id FROM memory_history WHERE memory_id = %(id)s LIMIT 1
