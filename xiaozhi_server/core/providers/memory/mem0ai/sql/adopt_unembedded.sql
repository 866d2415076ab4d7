-- Memories of one owner that came over without a vector, the newest first.
SELECT user_id, id, text
FROM memory_entry
WHERE user_id = %(user_id)s AND embedder IS NULL
ORDER BY created_at DESC
LIMIT %(limit)s
