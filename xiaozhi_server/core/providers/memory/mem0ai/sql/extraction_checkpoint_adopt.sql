-- What stands there already is newer than what comes from elsewhere.
INSERT INTO memory_extraction_checkpoint (user_id, app_id, value, updated_at)
VALUES (%(user_id)s, %(app_id)s, %(value)s, coalesce(%(updated_at)s, now()))
ON CONFLICT (user_id, app_id) DO NOTHING
