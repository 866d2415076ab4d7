WITH added AS (
    INSERT INTO memory_outbox (user_id, key, agent_id, session_id, messages, images, chars, instruction, created_at,
                               ended)
    SELECT user_id, key, agent_id, session_id, messages, nullif(images, 'null'), chars, instruction, created_at, true
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS line (
        number integer, user_id text, key text, agent_id text, session_id text, messages jsonb, images jsonb,
        chars integer, instruction text, created_at timestamptz)
    ORDER BY number
    ON CONFLICT (user_id, key) DO NOTHING
    RETURNING 1
)
SELECT count(*) AS added FROM added
