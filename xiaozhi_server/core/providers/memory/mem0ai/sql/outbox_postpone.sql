-- What failed as a batch often enough is tried one by one, so that a bad entry takes no other with it.
UPDATE memory_outbox
SET due_at = now() + make_interval(secs => %(pause_s)s),
    error = %(error)s,
    batch = CASE WHEN attempts >= %(attempts_together)s THEN seq ELSE batch END,
    state = CASE WHEN attempts >= %(attempts_max)s THEN 'dead' ELSE 'waiting' END
WHERE user_id = %(user_id)s AND key = ANY (%(keys)s) AND state = 'waiting' AND attempts = %(attempts)s
