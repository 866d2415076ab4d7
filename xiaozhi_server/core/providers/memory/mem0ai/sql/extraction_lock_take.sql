-- Nobody begins with a user who was forgotten after the work had been ordered. A holder whose time is over, or who has
-- not been heard of for long, loses the lock.
INSERT INTO memory_extraction_lock AS held (user_id, app_id, holder_id, fence, acquired_at, beat_at, ttl_seconds)
SELECT %(user_id)s::text, %(app_id)s::text, %(holder_id)s::text, nextval('memory_extraction_fence'), now(), now(), %(ttl_s)s
WHERE NOT EXISTS (
    SELECT FROM memory_forgotten WHERE owner = memory_owner(%(user_id)s) AND forgotten_at >= %(since)s
)
ON CONFLICT (user_id, app_id) DO UPDATE
SET holder_id = excluded.holder_id,
    fence = excluded.fence,
    acquired_at = excluded.acquired_at,
    beat_at = excluded.beat_at,
    ttl_seconds = excluded.ttl_seconds
WHERE held.acquired_at + make_interval(secs => held.ttl_seconds) <= now()
   OR held.beat_at + make_interval(secs => %(silent_s)s) <= now()
RETURNING fence, acquired_at
