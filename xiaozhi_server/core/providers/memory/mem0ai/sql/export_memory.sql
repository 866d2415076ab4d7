-- In the order of the primary key, so that nothing has to be sorted.
SELECT user_id, id, agent_id, run_id, session_id, role, speaker, text, metadata, created_at, updated_at, subtype, flag,
       position, valid_from, valid_to, superseded_by, expires_at, accessed_at, used_at, access_count, pinned,
       quality::float8 AS quality, compressed_into,
       CASE WHEN %(vectors)s AND embedder = %(embedder)s THEN halfvec_send(embedding) END AS vector
FROM memory_entry
WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s
ORDER BY user_id, id
