-- Done, if all of it is still ours: neither forgotten meanwhile nor taken over after the lease had ended.
WITH ours AS (
    SELECT FROM memory_outbox
    WHERE user_id = %(user_id)s AND key = ANY (%(keys)s) AND state = 'waiting' AND attempts = %(attempts)s
    FOR UPDATE
)
UPDATE memory_outbox
SET state = 'done', messages = NULL, images = NULL, instruction = '', error = NULL, done_at = now()
WHERE user_id = %(user_id)s AND key = ANY (%(keys)s) AND (SELECT count(*) FROM ours) = cardinality(%(keys)s::text[])
RETURNING key
