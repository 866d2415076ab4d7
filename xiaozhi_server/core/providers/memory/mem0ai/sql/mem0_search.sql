-- The nearest of one owner in meaning. A vector of zeros has no direction: its distance is not a number.
SELECT entry.id, entry.user_id, entry.agent_id, entry.run_id, entry.session_id, entry.role, entry.speaker, entry.text,
       entry.metadata, entry.created_at, entry.updated_at, entry.subtype, entry.flag, entry.position, entry.valid_from,
       entry.valid_to, entry.superseded_by, entry.expires_at, entry.accessed_at, entry.access_count,
       entry.pinned, entry.quality, entry.compressed_into,
       1 - (entry.embedding <=> %(vector)s::halfvec) AS score
FROM memory_entry AS entry
WHERE user_id = %(user_id)s
  AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
  AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
  AND embedder = %(embedder)s
  AND entry.embedding <=> %(vector)s::halfvec <> 'NaN'
  AND {filter}
ORDER BY entry.embedding <=> %(vector)s::halfvec
LIMIT %(limit)s
