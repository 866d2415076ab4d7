-- The next owners who have old memories that may be summarised. A summary is none of them.
SELECT DISTINCT entry.user_id
FROM {old}
WHERE (%(user_id)s::text IS NULL OR entry.user_id = %(user_id)s) AND entry.user_id > %(after)s
ORDER BY entry.user_id
LIMIT %(limit)s
