-- As it was when it was read: one that was moved since then stays.
DELETE FROM memory_extraction_checkpoint
WHERE user_id = %(user_id)s AND app_id = %(app_id)s AND id = %(id)s AND updated_at = %(updated_at)s
