SELECT text, version, updated_at FROM memory_summary WHERE user_id = %(user_id)s AND agent_id = %(agent_id)s
