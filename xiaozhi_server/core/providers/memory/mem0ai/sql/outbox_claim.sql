-- The oldest unsaved entry of each owner, if it is due, becomes ours until the lease ends. An owner's later entries
-- wait behind it, so that nothing overtakes. Callers hold the claim lock: two claims never see the same moment.
UPDATE memory_outbox AS entry
SET attempts = entry.attempts + 1,
    due_at = now() + make_interval(secs => %(lease_s)s)
FROM (
    SELECT user_id, key
    FROM memory_outbox AS head
    WHERE state = 'waiting'
      AND due_at <= now()
      AND NOT EXISTS (
          SELECT FROM memory_outbox AS earlier
          WHERE earlier.user_id = head.user_id AND earlier.state = 'waiting' AND earlier.seq < head.seq
      )
    ORDER BY due_at
    LIMIT %(limit)s
) AS due
WHERE entry.user_id = due.user_id AND entry.key = due.key
RETURNING entry.user_id, entry.key, entry.agent_id, entry.session_id, entry.messages, entry.attempts
