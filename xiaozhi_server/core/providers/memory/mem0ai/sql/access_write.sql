-- Nobody is told of it: a memory that was merely read is what it was.
UPDATE memory_entry AS entry
SET accessed_at = trace.accessed_at, access_count = trace.access_count, quality = trace.quality, used_at = trace.used_at
FROM unnest(%(ids)s::uuid[], %(accessed_at)s::timestamptz[], %(access_count)s::integer[], %(quality)s::real[],
            %(used_at)s::timestamptz[]) AS trace (id, accessed_at, access_count, quality, used_at)
WHERE entry.user_id = %(user_id)s AND entry.id = trace.id
