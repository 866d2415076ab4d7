-- What is on its way to the platform, of entries that are wanted no more. Callers have taken them out of the outbox:
-- nothing of them is sent from now on.
WITH gone AS (
    DELETE FROM memory_platform AS told
    USING memory_outbox AS entry
    WHERE told.user_id = %(user_id)s AND entry.user_id = told.user_id AND entry.key = told.key
      AND entry.state = 'done'
      AND (%(agent_id)s::text IS NULL OR entry.agent_id = %(agent_id)s)
      AND (%(key)s::text IS NULL OR entry.key = %(key)s)
    RETURNING told.key, told.send_id, entry.agent_id
), unwanted AS (
    UPDATE memory_platform_doubt
    SET decided = true, kept = NULL, since = now(), look_at = now()
    WHERE user_id = %(user_id)s
      AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
      AND (%(key)s::text IS NULL OR keys && ARRAY[%(key)s::text])
      AND send_id NOT IN (SELECT send_id FROM gone)
)
INSERT INTO memory_platform_doubt (user_id, send_id, agent_id, keys, decided)
SELECT %(user_id)s, send_id, min(agent_id), array_agg(key), true FROM gone WHERE send_id <> '' GROUP BY send_id
ON CONFLICT (user_id, send_id) DO UPDATE SET decided = true, kept = NULL, since = now(), look_at = now()
