INSERT INTO memory_summary AS present (user_id, agent_id, text)
VALUES (%(user_id)s, %(agent_id)s, %(text)s)
ON CONFLICT (user_id, agent_id) DO UPDATE
SET text = excluded.text, version = present.version + 1, updated_at = now()
WHERE present.version = %(version)s
RETURNING version
