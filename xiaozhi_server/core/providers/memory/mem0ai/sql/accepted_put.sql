-- As many as there is room for, in the order in which they were handed in.
WITH waiting AS (
    SELECT count(*) AS writes FROM (SELECT FROM memory_accepted WHERE state = 'waiting' LIMIT %(limit)s) AS counted
), offered AS (
    SELECT *
    FROM unnest(%(owners)s::text[], %(ids)s::uuid[], %(operations)s::text[], %(arguments)s::jsonb[])
        WITH ORDINALITY AS offer (user_id, id, operation, arguments, place)
), added AS (
    INSERT INTO memory_accepted (user_id, id, operation, arguments)
    SELECT user_id, id, operation, arguments
    FROM offered CROSS JOIN waiting
    WHERE place + writes <= %(limit)s
    ORDER BY place
    RETURNING id, accepted_at
)
SELECT added.accepted_at, offered.place + waiting.writes > %(limit)s AS is_full
FROM offered CROSS JOIN waiting LEFT JOIN added USING (id)
ORDER BY offered.place
