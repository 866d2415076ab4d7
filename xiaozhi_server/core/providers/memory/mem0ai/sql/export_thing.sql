-- A line has a kind of its own, so that of the thing is called its sort.
SELECT user_id, id, agent_id, name, kind AS sort, key, also, also_keys, created_at, updated_at
FROM memory_thing
WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s
ORDER BY user_id, id
