-- How many memories there are in a table of mem0's, and of each kind of what its plugin notes there for itself.
SELECT CASE WHEN payload->>'__internal' ILIKE 'true' THEN coalesce(payload->>'internal_type', 'other') END AS internal,
       count(*) AS records,
       bool_or(payload ? 'linked_memory_ids') AS is_linked
FROM {table}
GROUP BY 1
