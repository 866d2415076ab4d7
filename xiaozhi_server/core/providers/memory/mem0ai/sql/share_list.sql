SELECT user_id, agent_id, from_agent, granted_by, granted_at
FROM memory_share
WHERE user_id = %(user_id)s AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
ORDER BY agent_id, from_agent
