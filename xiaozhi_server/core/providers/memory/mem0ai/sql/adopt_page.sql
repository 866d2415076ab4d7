-- A page of a table of mem0's in the order of the ids: memories, or with `internal_type` what its plugin notes there for
-- itself (marked with a boolean in older rows, with a text in newer ones).
SELECT id, payload, {vector} AS vector
FROM {table}
WHERE (%(after)s::uuid IS NULL OR id > %(after)s)
  AND (%(user_id)s::text IS NULL OR payload->>'user_id' = %(user_id)s)
  AND CASE WHEN coalesce(payload->>'__internal', '') ILIKE 'true'
           THEN payload->>'internal_type' = %(internal_type)s
           ELSE %(internal_type)s::text IS NULL END
ORDER BY id
LIMIT %(limit)s
