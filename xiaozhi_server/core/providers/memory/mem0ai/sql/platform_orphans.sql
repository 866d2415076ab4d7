-- Whose entries are gone without ever having become memories: nothing of them is wanted.
UPDATE memory_platform_doubt AS doubt
SET decided = true, kept = NULL, since = now(), look_at = now()
WHERE NOT decided
  AND NOT EXISTS (
      SELECT FROM memory_outbox AS entry
      WHERE entry.user_id = doubt.user_id AND entry.key = ANY (doubt.keys) AND entry.state <> 'done'
  )
