-- One entry, unless its key is known, too many of this owner wait already, or it was said before they were forgotten.
WITH waiting AS (
    SELECT count(*) AS entries
    FROM (
        SELECT FROM memory_outbox
        WHERE user_id = %(user_id)s AND state <> 'done'
        LIMIT %(limit)s
    ) AS unsaved
), added AS (
    INSERT INTO memory_outbox (user_id, key, agent_id, session_id, messages, images, chars, instruction)
    SELECT %(user_id)s, %(key)s, %(agent_id)s, %(session_id)s, %(messages)s::jsonb, %(images)s::jsonb, %(chars)s,
           %(instruction)s
    FROM waiting
    WHERE waiting.entries < %(limit)s
    ON CONFLICT (user_id, key) DO NOTHING
    RETURNING key
)
SELECT EXISTS (SELECT FROM added) AS added,
       (SELECT entries >= %(limit)s FROM waiting)
           AND NOT EXISTS (SELECT FROM memory_outbox WHERE user_id = %(user_id)s AND key = %(key)s) AS is_full
