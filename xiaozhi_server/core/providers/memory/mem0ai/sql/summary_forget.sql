DELETE FROM memory_summary
WHERE user_id = %(user_id)s AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
