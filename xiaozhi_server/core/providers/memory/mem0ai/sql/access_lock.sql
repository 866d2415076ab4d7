-- What recalls left behind so far; a date that cannot be right is none. Always in the same order, so that two who write
-- never wait for each other.
SELECT id, access_count, quality,
       CASE WHEN accessed_at BETWEEN %(earliest)s AND greatest(%(latest)s, now()) THEN accessed_at END AS accessed_at,
       CASE WHEN used_at BETWEEN %(earliest)s AND greatest(%(latest)s, now()) THEN used_at END AS used_at
FROM memory_entry
WHERE user_id = %(user_id)s AND id = ANY (%(ids)s)
ORDER BY id
FOR NO KEY UPDATE
