-- Everybody who speaks in an owner's memories and in what waits to become some, within reason.
SELECT speaker
FROM (
    SELECT speaker FROM memory_entry WHERE user_id = %(user_id)s
    UNION
    SELECT message ->> 'speaker'
    FROM memory_outbox CROSS JOIN LATERAL jsonb_array_elements(messages) AS message
    WHERE user_id = %(user_id)s AND state <> 'done'
) AS heard
WHERE speaker IS NOT NULL
LIMIT 100
