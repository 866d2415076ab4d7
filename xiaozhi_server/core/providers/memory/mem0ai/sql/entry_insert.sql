INSERT INTO memory_entry (user_id, id, agent_id, run_id, session_id, role, speaker, text, metadata,
                          created_at, updated_at, subtype, flag, position, valid_from, expires_at,
                          words, embedder, embedding)
VALUES (%(user_id)s, %(id)s, %(agent_id)s, %(run_id)s, %(session_id)s, %(role)s, %(speaker)s, %(text)s,
        %(metadata)s::jsonb, %(created_at)s, %(updated_at)s, %(subtype)s, %(flag)s, %(position)s,
        %(valid_from)s, %(expires_at)s, %(words)s::integer[], %(embedder)s, %(embedding)s::halfvec)
ON CONFLICT (user_id, id) DO NOTHING
