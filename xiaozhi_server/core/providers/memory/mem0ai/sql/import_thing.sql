-- A thing is the same by its id or, of one agent, by its key. What was written later counts, as long as the key stays.
WITH line AS (
    SELECT DISTINCT ON (user_id, id) *
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS line (
        number integer, user_id text, id uuid, agent_id text, name text, kind text, key text, also text[],
        also_keys text[], created_at timestamptz, updated_at timestamptz)
    ORDER BY user_id, id, number
), changed AS (
    UPDATE memory_thing AS present
    SET name = line.name, kind = line.kind, also = line.also, also_keys = line.also_keys, updated_at = line.updated_at
    FROM line
    WHERE present.user_id = line.user_id AND present.id = line.id AND present.key = line.key
      AND present.agent_id = line.agent_id AND present.updated_at < line.updated_at
    RETURNING 1
), added AS (
    INSERT INTO memory_thing (user_id, id, agent_id, name, kind, key, also, also_keys, created_at, updated_at)
    SELECT user_id, id, agent_id, name, kind, key, also, also_keys, created_at, updated_at FROM line ORDER BY number
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM added) AS added, (SELECT count(*) FROM changed) AS changed
