-- One exchange: its session if that is not known yet, its lines, its trace. Writing it twice changes nothing, and neither
-- does writing what was said before its owner was forgotten, or one of the persons in it.
WITH wanted AS (
    SELECT
    WHERE NOT EXISTS (
        SELECT FROM forgotten_owner
        WHERE owner IN (
            SELECT sha256(convert_to(named.owner_id, 'UTF8'))
            FROM unnest(%(persons)s::text[] || %(owner_id)s::text) AS named (owner_id)
            WHERE named.owner_id IS NOT NULL
        )
            AND forgotten_at >= %(opened_at)s::timestamptz
    )
),
known_session AS (
    INSERT INTO session (owner_id, id, agent_id, device_id, opened_at)
    SELECT %(owner_id)s::text, %(session_id)s::text, %(agent_id)s::text, %(device_id)s::text, %(opened_at)s::timestamptz
    FROM wanted
    ON CONFLICT (owner_id, id) DO NOTHING
),
lines AS (
    INSERT INTO message (owner_id, id, session_id, agent_id, turn_id, role, content, spoken_at, person_owner)
    SELECT %(owner_id)s::text, line.id, %(session_id)s::text, %(agent_id)s::text, %(turn_id)s::text, line.role, line.content,
           line.spoken_at, line.person_owner
    FROM unnest(
        %(ids)s::uuid[], %(roles)s::text[], %(contents)s::text[], %(times)s::timestamptz[], %(persons)s::text[]
    ) WITH ORDINALITY AS line (id, role, content, spoken_at, person_owner, position)
    CROSS JOIN wanted
    ORDER BY line.position
    ON CONFLICT (owner_id, id) DO NOTHING
)
INSERT INTO turn_trace (owner_id, turn_id, session_id, outcome, timings_ms, errors)
SELECT %(owner_id)s::text, %(turn_id)s::text, %(session_id)s::text, %(outcome)s::text, %(timings_ms)s::jsonb,
       %(errors)s::text[]
FROM wanted
ON CONFLICT (owner_id, turn_id) DO NOTHING
