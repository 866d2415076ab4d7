SELECT entry.id, entry.user_id, entry.agent_id, entry.run_id, entry.session_id, entry.role, entry.speaker, entry.text,
       entry.metadata, entry.created_at, entry.updated_at, entry.subtype, entry.flag, entry.position, entry.valid_from,
       entry.valid_to, entry.superseded_by, entry.expires_at, entry.accessed_at, entry.access_count,
       entry.pinned, entry.quality, entry.compressed_into,
       NULL::float8 AS score
FROM memory_entry AS entry
WHERE id = %(id)s
LIMIT 1
