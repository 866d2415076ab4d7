-- What waits for the platform and does not lie among the memories here yet. Nobody settles it while we copy it.
SELECT entry.user_id, entry.key, entry.agent_id, entry.session_id, entry.messages
FROM memory_outbox AS entry
WHERE entry.state <> 'done'
  AND NOT EXISTS (
      SELECT FROM memory_platform AS told
      WHERE told.user_id = entry.user_id AND told.key = entry.key AND told.copied
  )
ORDER BY entry.seq
LIMIT %(limit)s
