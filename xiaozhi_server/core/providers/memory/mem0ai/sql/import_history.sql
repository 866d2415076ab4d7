WITH line AS (
    SELECT DISTINCT ON (user_id, memory_id, event, happened_at, old_text) *
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS line (
        number integer, user_id text, memory_id uuid, event text, old_text text, new_text text, role text, speaker text,
        created_at timestamptz, happened_at timestamptz)
    ORDER BY user_id, memory_id, event, happened_at, old_text, number
), added AS (
    INSERT INTO memory_history (user_id, memory_id, event, old_text, new_text, role, speaker, created_at, happened_at)
    SELECT user_id, memory_id, event, old_text, new_text, role, speaker, created_at, happened_at
    FROM line
    WHERE NOT EXISTS (
        SELECT FROM memory_history AS known
        WHERE known.user_id = line.user_id AND known.memory_id = line.memory_id AND known.event = line.event
          AND known.happened_at = line.happened_at AND known.old_text = line.old_text
    )
    ORDER BY number
    RETURNING 1
)
SELECT count(*) AS added FROM added
