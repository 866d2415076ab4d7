-- {which} narrows it down further: one memory, or those behind a cursor that fit a filter.
SELECT id, user_id, agent_id, run_id, session_id, role, speaker, text, metadata, created_at, updated_at,
       subtype, flag, position, valid_from, valid_to, superseded_by, expires_at, accessed_at, access_count, pinned, quality,
       compressed_into
FROM memory_entry
WHERE user_id = %(user_id)s
  AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
  AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
  AND {which}
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s
