-- What an owner's memories of one agent are about, the latest first.
SELECT id, name, kind, key, also, also_keys
FROM memory_thing
WHERE user_id = %(user_id)s AND agent_id = %(agent_id)s
ORDER BY updated_at DESC, id
LIMIT %(limit)s
