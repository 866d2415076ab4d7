DELETE FROM memory_entry
WHERE user_id = %(user_id)s
  AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
  AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
