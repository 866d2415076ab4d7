-- Under which names a request is about to leave. Nothing comes back where the entries are not all ours any more: what
-- was forgotten meanwhile is not sent.
WITH ours AS (
    SELECT user_id, key
    FROM memory_outbox
    WHERE user_id = %(user_id)s AND key = ANY (%(keys)s) AND state = 'waiting' AND attempts = %(attempts)s
    FOR UPDATE
)
INSERT INTO memory_platform (user_id, key, send_id, attempt)
SELECT user_id, key, %(send_id)s, %(attempt)s
FROM ours
WHERE (SELECT count(*) FROM ours) = cardinality(%(keys)s::text[])
ON CONFLICT (user_id, key) DO UPDATE
SET send_id = excluded.send_id, attempt = excluded.attempt, event_id = '', sent_at = now()
RETURNING key
