-- The first owners in order, each found by a jump in the index: however many memories they have.
WITH RECURSIVE owner (user_id) AS (
    (SELECT user_id FROM memory_entry ORDER BY user_id LIMIT 1)
    UNION ALL
    SELECT (SELECT later.user_id FROM memory_entry AS later
            WHERE later.user_id > owner.user_id ORDER BY later.user_id LIMIT 1)
    FROM owner
    WHERE owner.user_id IS NOT NULL
)
SELECT user_id FROM owner WHERE user_id IS NOT NULL LIMIT %(limit)s
