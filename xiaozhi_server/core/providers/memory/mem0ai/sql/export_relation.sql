SELECT user_id, id, agent_id, subject, relation, object, memory_id, created_at, valid_to
FROM memory_relation
WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s
ORDER BY user_id, id
