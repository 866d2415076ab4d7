-- One week's memories, the oldest first, from where the last page ended.
SELECT entry.id, entry.session_id, entry.role, entry.speaker, entry.text, entry.created_at, entry.position,
       CASE WHEN entry.embedder = %(embedder)s THEN halfvec_send(entry.embedding) END AS embedding
FROM {old}
WHERE entry.user_id = %(user_id)s AND entry.agent_id = %(of_agent)s AND entry.run_id = %(of_run)s
  AND entry.created_at >= %(begins)s AND entry.created_at < %(ends)s
  AND (%(after)s::uuid IS NULL
       OR (entry.created_at, entry.position, entry.id) > (%(after_at)s, %(after_position)s, %(after)s))
ORDER BY entry.created_at, entry.position, entry.id
LIMIT %(limit)s
