INSERT INTO memory_link (user_id, memory_id, thing_id)
SELECT user_id, memory_id, %(into)s FROM memory_link WHERE user_id = %(user_id)s AND thing_id = %(id)s
ON CONFLICT DO NOTHING
