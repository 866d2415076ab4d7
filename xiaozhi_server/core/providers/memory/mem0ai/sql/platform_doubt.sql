-- Nobody knows what becomes of this request: it counts as not sent, and is looked for from now on.
WITH unsent AS (
    UPDATE memory_platform SET send_id = '', attempt = '', event_id = ''
    WHERE user_id = %(user_id)s AND send_id = %(send_id)s AND attempt = %(attempt)s
    RETURNING key
)
INSERT INTO memory_platform_doubt AS doubt (user_id, send_id, agent_id, keys)
SELECT %(user_id)s, %(send_id)s, %(agent_id)s, array_agg(key) FROM unsent HAVING count(*) > 0
ON CONFLICT (user_id, send_id) DO UPDATE SET since = now(), look_at = now()
