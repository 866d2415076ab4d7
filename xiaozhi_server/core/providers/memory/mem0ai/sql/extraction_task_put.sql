INSERT INTO memory_extraction_task (id, value, started_at, updated_at)
VALUES (%(id)s, %(value)s, %(started_at)s, %(updated_at)s)
ON CONFLICT (id) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
