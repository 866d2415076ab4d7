-- All tables but PostgreSQL's own, the column that names the owner of a row where there is one, and all columns that can
-- hold a word: everything but numbers, times, truth values, ids of 128 bits and vectors.
SELECT column_.table_schema AS schema, column_.table_name AS name,
       min(column_.column_name) FILTER (WHERE column_.column_name IN ('user_id', 'owner_id')) AS owner,
       array_agg(column_.column_name::text ORDER BY column_.ordinal_position) FILTER (
           WHERE column_.udt_name !~ '^_?(int[248]|float[48]|numeric|bool|uuid|timestamptz?|date|timetz?|interval|oid)$'
             AND column_.udt_name NOT IN ('vector', 'halfvec', 'sparsevec')
       ) AS columns
FROM information_schema.columns AS column_
JOIN information_schema.tables AS table_ USING (table_schema, table_name)
WHERE table_.table_type = 'BASE TABLE'
  AND column_.table_schema NOT IN ('pg_catalog', 'information_schema')
GROUP BY column_.table_schema, column_.table_name
HAVING count(*) FILTER (
    WHERE column_.udt_name !~ '^_?(int[248]|float[48]|numeric|bool|uuid|timestamptz?|date|timetz?|interval|oid)$'
      AND column_.udt_name NOT IN ('vector', 'halfvec', 'sparsevec')
) > 0
ORDER BY 1, 2
