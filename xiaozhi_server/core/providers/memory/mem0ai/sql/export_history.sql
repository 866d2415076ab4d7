SELECT user_id, memory_id, event, old_text, new_text, role, speaker, created_at, happened_at
FROM memory_history
WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s
ORDER BY user_id, memory_id, seq
