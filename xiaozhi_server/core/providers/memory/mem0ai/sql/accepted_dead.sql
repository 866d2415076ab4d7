SELECT user_id, id, operation, arguments, accepted_at, attempts, coalesce(error, '') AS error
FROM memory_accepted
WHERE state = 'dead' AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
ORDER BY seq
LIMIT %(limit)s
