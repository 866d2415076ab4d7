SELECT id, user_id, app_id, value, updated_at
FROM memory_extraction_checkpoint
WHERE user_id = %(user_id)s AND (%(app_id)s::text IS NULL OR app_id = %(app_id)s)
ORDER BY updated_at DESC, app_id
