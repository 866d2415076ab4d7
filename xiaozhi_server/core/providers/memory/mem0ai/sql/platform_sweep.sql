-- The next that are to be looked for, and when again: the older they are the less often, and at last not at all.
WITH due AS (
    SELECT user_id, send_id
    FROM memory_platform_doubt
    WHERE decided AND look_at <= now() AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
    ORDER BY look_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE memory_platform_doubt AS doubt
SET look_at = now() + make_interval(
        secs => least(greatest(extract(epoch FROM now() - since) / 2, %(least_pause_s)s), %(longest_pause_s)s))
FROM due
WHERE doubt.user_id = due.user_id AND doubt.send_id = due.send_id
RETURNING doubt.user_id, doubt.send_id, doubt.kept
