SELECT user_id, key, agent_id, session_id, messages, attempts, instruction, error, created_at
FROM memory_outbox
WHERE state = 'dead' AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
ORDER BY seq
LIMIT %(limit)s
