UPDATE memory_outbox
SET ended = true
WHERE user_id = %(user_id)s AND session_id = %(session_id)s AND state = 'waiting' AND NOT ended
