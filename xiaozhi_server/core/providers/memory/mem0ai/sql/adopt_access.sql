-- What mem0's plugin noted of a memory's recalls. Doing it again changes nothing.
UPDATE memory_entry
SET accessed_at = greatest(accessed_at, %(accessed_at)s),
    access_count = greatest(access_count, %(access_count)s),
    quality = coalesce(quality, %(quality)s)
WHERE user_id = %(user_id)s AND id = %(id)s
