DELETE FROM memory_accepted
WHERE user_id = %(user_id)s AND id = %(id)s AND state = 'waiting' AND attempts = %(attempts)s
