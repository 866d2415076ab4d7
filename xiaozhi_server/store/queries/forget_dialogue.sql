-- Of a household lines and traces go with their sessions; of one of its persons the lines alone, which have no other trace.
WITH people AS (
    DELETE FROM person WHERE owner_id = %(owner_id)s
),
lines AS (
    DELETE FROM message WHERE person_owner = %(owner_id)s
)
DELETE FROM session WHERE owner_id = %(owner_id)s
