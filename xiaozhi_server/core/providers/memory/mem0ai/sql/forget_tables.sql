-- The tables that hold rows of single owners: ours by user_id; and where mem0 itself kept memories in this database,
-- its own, which name the owner in their payload. What was on its way to Mem0's platform stays noted until it cannot
-- appear there any more: it is deleted by its name (see 0012_platform_doubts.sql).
SELECT class.relname AS name, bool_or(attribute.attname = 'user_id') AS is_ours
FROM pg_class AS class
JOIN pg_attribute AS attribute ON attribute.attrelid = class.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
WHERE class.relkind IN ('r', 'p')
  AND pg_table_is_visible(class.oid)
  AND class.relpersistence <> 't'
  AND class.relname <> 'memory_platform_doubt'
  AND class.relnamespace <> 'pg_catalog'::regnamespace
GROUP BY class.oid, class.relname
HAVING (class.relname LIKE 'memory\_%' AND bool_or(attribute.attname = 'user_id'))
    OR (array_agg(attribute.attname::text) @> ARRAY['id', 'vector', 'payload']
        AND bool_or(attribute.attname = 'payload' AND attribute.atttypid = 'jsonb'::regtype))
