-- One memory, and nobody else changes it until our transaction ends.
SELECT id, user_id, agent_id, run_id, session_id, role, speaker, text, metadata, created_at, updated_at,
       subtype, flag, position, valid_from, valid_to, superseded_by, expires_at, accessed_at, access_count, pinned, quality,
       compressed_into
FROM memory_entry
WHERE user_id = %(user_id)s AND id = %(id)s
FOR UPDATE
