SELECT user_id, memory_id, thing_id
FROM memory_link
WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s
ORDER BY user_id, memory_id, thing_id
