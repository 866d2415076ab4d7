SELECT entry.user_id, entry.id, entry.updated_at
FROM memory_entry AS entry
JOIN unnest(%(user_ids)s::text[], %(ids)s::uuid[]) AS wanted (user_id, id)
  ON entry.user_id = wanted.user_id AND entry.id = wanted.id
