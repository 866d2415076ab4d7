-- The oldest unsaved entry of each owner, if it is due, becomes ours until the lease ends, and with it those that follow
-- in the same batch. An owner's later entries wait behind, so that nothing overtakes. Callers hold the claim lock: two
-- claims never see the same moment.
WITH head AS (
    SELECT user_id, seq, agent_id, batch, due_at
    FROM memory_outbox AS head
    WHERE state = 'waiting'
      AND due_at <= now()
      AND NOT EXISTS (
          SELECT FROM memory_outbox AS earlier
          WHERE earlier.user_id = head.user_id AND earlier.state = 'waiting' AND earlier.seq < head.seq
      )
), closed AS (
    SELECT head.user_id, head.seq AS batch, members.seqs
    FROM head
    CROSS JOIN LATERAL (
        SELECT array_agg(seq) FILTER (WHERE belongs) AS seqs,
               head.batch IS NOT NULL
                   OR NOT bool_and(belongs)  -- another one waits that does not fit in
                   OR count(*) >= %(exchanges)s
                   OR bool_or(ended)
                   OR max(created_at) <= now() - make_interval(secs => %(idle_s)s) AS is_closed
        FROM (
            SELECT seq, ended, created_at,
                   bool_and(batch IS NOT DISTINCT FROM head.batch AND agent_id = head.agent_id) OVER until_here
                   AND (head.batch IS NOT NULL OR seq = head.seq OR sum(chars) OVER until_here <= %(chars)s) AS belongs
            FROM (
                SELECT seq, agent_id, batch, chars, ended, created_at
                FROM memory_outbox AS waiting
                WHERE waiting.user_id = head.user_id AND waiting.state = 'waiting' AND waiting.seq >= head.seq
                ORDER BY seq
                LIMIT %(exchanges)s
            ) AS next
            WINDOW until_here AS (ORDER BY seq)
        ) AS member
    ) AS members
    WHERE members.is_closed
    ORDER BY head.due_at
    LIMIT %(limit)s
)
UPDATE memory_outbox AS entry
SET attempts = entry.attempts + 1,
    batch = closed.batch,
    due_at = now() + make_interval(secs => %(lease_s)s)
FROM closed
WHERE entry.user_id = closed.user_id AND entry.seq = ANY (closed.seqs) AND entry.state = 'waiting'
RETURNING entry.user_id, entry.key, entry.agent_id, entry.session_id, entry.messages, entry.images, entry.attempts,
          entry.instruction, entry.batch, entry.seq
