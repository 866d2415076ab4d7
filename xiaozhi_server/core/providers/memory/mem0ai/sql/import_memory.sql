WITH line AS (
    INSERT INTO memory_entry AS present (
        user_id, id, agent_id, run_id, session_id, role, speaker, text, metadata, created_at, updated_at, subtype, flag,
        position, valid_from, valid_to, superseded_by, expires_at, accessed_at, used_at, access_count, pinned,
        quality, compressed_into, words, embedder, embedding)
    SELECT user_id, id, agent_id, run_id, session_id, role, speaker, text, metadata, created_at, updated_at, subtype, flag,
           position, valid_from, valid_to, superseded_by, expires_at, accessed_at, used_at, access_count, pinned,
           quality, compressed_into, words, embedder, embedding
    FROM memory_import
    ON CONFLICT (user_id, id) DO UPDATE
    SET agent_id = excluded.agent_id, run_id = excluded.run_id, session_id = excluded.session_id, role = excluded.role,
        speaker = excluded.speaker, text = excluded.text, metadata = excluded.metadata, created_at = excluded.created_at,
        updated_at = excluded.updated_at, subtype = excluded.subtype, flag = excluded.flag, position = excluded.position,
        valid_from = excluded.valid_from, valid_to = excluded.valid_to, superseded_by = excluded.superseded_by,
        expires_at = excluded.expires_at, accessed_at = excluded.accessed_at, used_at = excluded.used_at,
        access_count = excluded.access_count,
        pinned = excluded.pinned, quality = excluded.quality, compressed_into = excluded.compressed_into,
        words = excluded.words, embedder = excluded.embedder, embedding = excluded.embedding
    WHERE present.updated_at < excluded.updated_at
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS added, count(*) FILTER (WHERE NOT is_new) AS changed FROM line
