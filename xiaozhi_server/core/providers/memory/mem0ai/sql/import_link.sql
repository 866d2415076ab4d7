WITH line AS (
    SELECT line.*,
           EXISTS (SELECT FROM memory_entry AS entry
                   WHERE entry.user_id = line.user_id AND entry.id = line.memory_id)
           AND EXISTS (SELECT FROM memory_thing AS thing
                       WHERE thing.user_id = line.user_id AND thing.id = line.thing_id) AS fits
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS line (number integer, user_id text, memory_id uuid, thing_id uuid)
), added AS (
    INSERT INTO memory_link (user_id, memory_id, thing_id)
    SELECT user_id, memory_id, thing_id FROM line WHERE fits
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM added) AS added,
       (SELECT coalesce(array_agg(number ORDER BY number) FILTER (WHERE NOT fits), '{}') FROM line) AS unfit
