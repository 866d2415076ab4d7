-- What waits, and what was given up: where it is read in, it is tried anew.
SELECT user_id, key, agent_id, session_id, messages, images, instruction, created_at
FROM memory_outbox
WHERE state <> 'done' AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
ORDER BY user_id, seq
