-- The indexes that single owners have, and whether they are complete.
SELECT class.relname AS name, index.indisvalid AS valid
FROM pg_index AS index
JOIN pg_class AS class ON class.oid = index.indexrelid
WHERE index.indrelid = 'memory_entry'::regclass AND class.relname ~ '^memory_(near|words)_[0-9a-f]{16}$'
