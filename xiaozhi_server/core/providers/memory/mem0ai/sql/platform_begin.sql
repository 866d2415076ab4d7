INSERT INTO memory_platform (user_id, key, send_id)
SELECT user_id, key, %(send_id)s FROM memory_outbox WHERE user_id = %(user_id)s AND key = ANY (%(keys)s)
ON CONFLICT (user_id, key) DO UPDATE SET send_id = excluded.send_id, event_id = '', sent_at = now()
