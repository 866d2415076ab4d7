SELECT count(*) AS count FROM memory_extraction_lock
WHERE user_id = %(user_id)s
  AND (%(app_id)s::text IS NULL OR app_id = %(app_id)s)
  AND (acquired_at + make_interval(secs => ttl_seconds) <= now()
       OR beat_at + make_interval(secs => %(silent_s)s) <= now())
