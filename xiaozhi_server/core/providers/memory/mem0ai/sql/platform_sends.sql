SELECT key, send_id, attempt, event_id, extract(epoch FROM now() - sent_at)::float8 AS age_s
FROM memory_platform
WHERE user_id = %(user_id)s AND key = ANY (%(keys)s) AND send_id <> ''
