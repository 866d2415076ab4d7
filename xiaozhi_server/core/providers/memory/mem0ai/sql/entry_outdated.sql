-- Memories without a vector of this embedder, in the order of the primary key, from where the last batch ended.
SELECT user_id, id, text
FROM memory_entry
WHERE embedder IS DISTINCT FROM %(embedder)s
  AND (user_id, id) > (%(after_user)s, %(after_id)s)
ORDER BY user_id, id
LIMIT %(limit)s
