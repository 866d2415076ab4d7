-- One exchange: its session if that is not known yet, its lines, its trace. Writing it twice changes nothing.
WITH known_session AS (
    INSERT INTO session (owner_id, id, agent_id, device_id, opened_at)
    VALUES (%(owner_id)s, %(session_id)s, %(agent_id)s, %(device_id)s, %(opened_at)s)
    ON CONFLICT (owner_id, id) DO NOTHING
),
lines AS (
    INSERT INTO message (owner_id, id, session_id, agent_id, turn_id, role, content, spoken_at)
    SELECT %(owner_id)s, line.id, %(session_id)s, %(agent_id)s, %(turn_id)s, line.role, line.content, line.spoken_at
    FROM unnest(%(ids)s::uuid[], %(roles)s::text[], %(contents)s::text[], %(times)s::timestamptz[])
        WITH ORDINALITY AS line (id, role, content, spoken_at, position)
    ORDER BY line.position
    ON CONFLICT (owner_id, id) DO NOTHING
)
INSERT INTO turn_trace (owner_id, turn_id, session_id, outcome, timings_ms, errors)
VALUES (%(owner_id)s, %(turn_id)s, %(session_id)s, %(outcome)s, %(timings_ms)s, %(errors)s)
ON CONFLICT (owner_id, turn_id) DO NOTHING
