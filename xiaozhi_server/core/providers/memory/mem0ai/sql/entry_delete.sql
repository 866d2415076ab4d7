-- However many there are, it is one statement. Each memory leaves its text in the history. `summaries` tell something of
-- what is gone.
WITH named AS (
    SELECT id, compressed_into
    FROM memory_entry
    WHERE user_id = %(user_id)s
      AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
      AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
      AND {which}
), gone AS (
    DELETE FROM memory_entry
    WHERE user_id = %(user_id)s AND id IN (SELECT id FROM named)
    RETURNING user_id, id, text, role, speaker, created_at
), told AS (
    INSERT INTO memory_history (user_id, memory_id, event, old_text, role, speaker, created_at)
    SELECT user_id, id, 'DELETE', text, role, speaker, created_at FROM gone
)
SELECT (SELECT count(*) FROM gone) AS deleted,
       (SELECT coalesce(array_agg(DISTINCT compressed_into) FILTER (WHERE compressed_into IS NOT NULL), '{}')
        FROM named) AS summaries
