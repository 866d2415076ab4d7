-- Everything that was ever remembered of a person, and what it was before it was changed or deleted.
WITH gone AS (
    DELETE FROM memory_entry WHERE user_id = %(user_id)s RETURNING id
), untold AS (
    DELETE FROM memory_history WHERE user_id = %(user_id)s
), unknown AS (
    DELETE FROM memory_thing WHERE user_id = %(user_id)s
), uncounted AS (
    DELETE FROM memory_large WHERE user_id = %(user_id)s
)
SELECT count(*) AS memories FROM gone
