-- As if it had never been sent.
UPDATE memory_platform SET send_id = '', attempt = '', event_id = ''
WHERE user_id = %(user_id)s AND send_id = %(send_id)s AND attempt = %(attempt)s
