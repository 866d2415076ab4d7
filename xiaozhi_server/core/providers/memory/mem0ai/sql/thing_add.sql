INSERT INTO memory_thing (user_id, id, agent_id, name, kind, key, also, also_keys, created_at, updated_at)
VALUES (%(user_id)s, %(id)s, %(agent_id)s, %(name)s, %(kind)s, %(key)s, %(also)s, %(also_keys)s, %(said_at)s, %(said_at)s)
ON CONFLICT DO NOTHING
