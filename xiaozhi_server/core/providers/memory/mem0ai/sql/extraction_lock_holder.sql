SELECT holder_id FROM memory_extraction_lock WHERE user_id = %(user_id)s AND app_id = %(app_id)s
