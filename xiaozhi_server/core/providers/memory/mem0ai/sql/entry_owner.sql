-- Whose memory has this id, or had it.
SELECT user_id FROM memory_entry WHERE id = %(id)s
UNION ALL
SELECT user_id FROM memory_history WHERE memory_id = %(id)s
LIMIT 1
