WITH line AS (
    SELECT line.*,
           EXISTS (SELECT FROM memory_thing AS thing
                   WHERE thing.user_id = line.user_id AND thing.id = line.subject)
           AND EXISTS (SELECT FROM memory_thing AS thing
                       WHERE thing.user_id = line.user_id AND thing.id = line.object)
           AND (line.memory_id IS NULL
                OR EXISTS (SELECT FROM memory_entry AS entry
                           WHERE entry.user_id = line.user_id AND entry.id = line.memory_id)) AS fits
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS line (
        number integer, user_id text, id uuid, agent_id text, subject uuid, relation text, object uuid, memory_id uuid,
        created_at timestamptz, valid_to timestamptz)
), added AS (
    INSERT INTO memory_relation (user_id, id, agent_id, subject, relation, object, memory_id, created_at, valid_to)
    SELECT user_id, id, agent_id, subject, relation, object, memory_id, created_at, valid_to FROM line WHERE fits
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM added) AS added,
       (SELECT coalesce(array_agg(number ORDER BY number) FILTER (WHERE NOT fits), '{}') FROM line) AS unfit
