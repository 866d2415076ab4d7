UPDATE memory_platform SET event_id = %(event_id)s
WHERE user_id = %(user_id)s AND send_id = %(send_id)s AND attempt = %(attempt)s
