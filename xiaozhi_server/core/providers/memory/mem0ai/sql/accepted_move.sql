-- Still ours, it comes again after a pause, or not at all. What was broken off gives its attempt back.
UPDATE memory_accepted
SET due_at = now() + make_interval(secs => %(pause_s)s),
    state = %(state)s,
    error = coalesce(%(error)s, error),
    attempts = attempts - CASE WHEN %(error)s::text IS NULL THEN 1 ELSE 0 END
WHERE user_id = %(user_id)s AND id = %(id)s AND state = 'waiting' AND attempts = %(attempts)s
