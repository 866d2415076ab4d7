-- Done, if it is still ours: neither forgotten meanwhile nor taken over after the lease had ended.
UPDATE memory_outbox
SET state = 'done', messages = NULL, error = NULL, done_at = now()
WHERE user_id = %(user_id)s AND key = %(key)s AND state = 'waiting' AND attempts = %(attempts)s
RETURNING key
