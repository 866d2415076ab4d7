SELECT event, old_text, new_text, role, speaker, created_at, happened_at
FROM memory_history
WHERE user_id = %(user_id)s AND memory_id = %(id)s
ORDER BY seq
