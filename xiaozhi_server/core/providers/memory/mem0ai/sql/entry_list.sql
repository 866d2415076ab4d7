SELECT id, user_id, agent_id, run_id, session_id, role, speaker, text, metadata, created_at, updated_at
FROM memory_entry
WHERE user_id = %(user_id)s
  AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
  AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
  AND (%(id)s::uuid IS NULL OR id = %(id)s)
ORDER BY created_at DESC, id
LIMIT %(limit)s
