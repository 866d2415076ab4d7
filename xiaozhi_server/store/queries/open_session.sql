INSERT INTO session (owner_id, id, agent_id, device_id, opened_at)
VALUES (%(owner_id)s, %(session_id)s, %(agent_id)s, %(device_id)s, %(opened_at)s)
ON CONFLICT (owner_id, id) DO UPDATE SET opened_at = least(session.opened_at, excluded.opened_at)
