-- The things with these names, which nobody else changes until our transaction ends.
SELECT id, name, kind, key, also, also_keys
FROM memory_thing
WHERE user_id = %(user_id)s AND agent_id = %(agent_id)s AND (key = ANY (%(keys)s) OR also_keys && %(keys)s::text[])
ORDER BY created_at, id
FOR UPDATE
