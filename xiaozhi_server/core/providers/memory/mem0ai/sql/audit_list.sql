SELECT user_id, event, agent_id, from_agent, done_by, day, happened_at, reads
FROM memory_audit
WHERE user_id = %(user_id)s
ORDER BY seq DESC
LIMIT %(limit)s
