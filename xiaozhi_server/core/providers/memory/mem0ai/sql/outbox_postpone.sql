UPDATE memory_outbox
SET due_at = now() + make_interval(secs => %(pause_s)s),
    error = %(error)s,
    state = CASE WHEN attempts >= %(attempts_max)s THEN 'dead' ELSE 'waiting' END
WHERE user_id = %(user_id)s AND key = %(key)s AND state = 'waiting' AND attempts = %(attempts)s
