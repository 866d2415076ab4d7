-- The oldest write of each owner that is not done, if it is due, becomes ours until the lease ends. Of two claims that
-- see the same moment the later one finds its `due_at` changed, and lets go.
WITH head AS (
    SELECT DISTINCT ON (user_id) user_id, seq, due_at
    FROM memory_accepted
    WHERE state = 'waiting'
    ORDER BY user_id, seq
), due AS (
    SELECT user_id, seq, due_at FROM head WHERE due_at <= now() ORDER BY seq LIMIT %(limit)s
)
UPDATE memory_accepted AS write
SET attempts = write.attempts + 1, due_at = now() + make_interval(secs => %(lease_s)s)
FROM due
WHERE write.user_id = due.user_id AND write.seq = due.seq AND write.state = 'waiting' AND write.due_at = due.due_at
RETURNING write.user_id, write.id, write.operation, write.arguments, write.accepted_at, write.attempts
