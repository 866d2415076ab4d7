-- Lines and traces go with their sessions.
WITH people AS (
    DELETE FROM person WHERE owner_id = %(owner_id)s
)
DELETE FROM session WHERE owner_id = %(owner_id)s
