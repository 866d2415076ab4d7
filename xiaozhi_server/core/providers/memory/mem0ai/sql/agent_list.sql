-- What one agent heard of everybody (compare entry_list.sql).
SELECT id, user_id, agent_id, run_id, session_id, role, speaker, text, metadata, created_at, updated_at,
       subtype, flag, position, valid_from, valid_to, superseded_by, expires_at, accessed_at, access_count, pinned, quality,
       compressed_into
FROM memory_entry
WHERE nullif(agent_id, '') = %(agent_id)s AND {which}
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s
