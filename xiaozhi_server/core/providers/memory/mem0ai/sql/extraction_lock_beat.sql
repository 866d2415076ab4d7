UPDATE memory_extraction_lock
SET beat_at = now()
WHERE user_id = %(user_id)s AND app_id = %(app_id)s AND holder_id = %(holder_id)s AND fence = %(fence)s
