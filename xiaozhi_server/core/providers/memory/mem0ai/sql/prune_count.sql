SELECT count(*) AS memories
FROM memory_entry
WHERE (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
  AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
