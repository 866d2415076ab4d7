-- What is no memory yet, the newest first, with the name under which it was sent. One statement: between two, an entry
-- may arrive and take its name with it.
SELECT entry.user_id, entry.key, entry.agent_id, entry.session_id, entry.messages, coalesce(told.send_id, '') AS send_id
FROM memory_outbox AS entry
LEFT JOIN memory_platform AS told ON told.user_id = entry.user_id AND told.key = entry.key
WHERE entry.user_id = %(user_id)s
  AND (%(agent_id)s::text IS NULL OR entry.agent_id = %(agent_id)s)
  AND entry.state <> 'done'
ORDER BY entry.seq DESC
LIMIT %(limit)s
