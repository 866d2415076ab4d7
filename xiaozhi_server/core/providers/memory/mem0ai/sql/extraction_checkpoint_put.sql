INSERT INTO memory_extraction_checkpoint (user_id, app_id, value)
VALUES (%(user_id)s, %(app_id)s, %(value)s)
ON CONFLICT (user_id, app_id) DO UPDATE SET value = excluded.value, updated_at = now()
