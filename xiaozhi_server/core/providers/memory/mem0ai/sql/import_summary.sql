WITH line AS (
    SELECT DISTINCT ON (user_id, agent_id) *
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS line (
        number integer, user_id text, agent_id text, text text, updated_at timestamptz)
    ORDER BY user_id, agent_id, updated_at DESC, number
), written AS (
    INSERT INTO memory_summary AS present (user_id, agent_id, text, updated_at)
    SELECT user_id, agent_id, text, updated_at FROM line
    ON CONFLICT (user_id, agent_id) DO UPDATE
    SET text = excluded.text, version = present.version + 1, updated_at = excluded.updated_at
    WHERE present.updated_at < excluded.updated_at
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS added, count(*) FILTER (WHERE NOT is_new) AS changed FROM written
