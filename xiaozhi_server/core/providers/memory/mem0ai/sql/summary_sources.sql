SELECT count(*) AS sources
FROM memory_entry
WHERE user_id = %(user_id)s AND compressed_into = %(id)s
