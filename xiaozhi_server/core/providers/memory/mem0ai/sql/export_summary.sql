SELECT user_id, agent_id, text, updated_at
FROM memory_summary
WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s
ORDER BY user_id, agent_id
