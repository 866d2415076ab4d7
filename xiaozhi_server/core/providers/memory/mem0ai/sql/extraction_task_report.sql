-- Nothing of a user who was forgotten since the task began.
INSERT INTO memory_extraction_report (user_id, task_id, value)
SELECT %(user_id)s::text, %(task_id)s::text, %(value)s::jsonb
WHERE NOT EXISTS (
    SELECT FROM memory_forgotten WHERE owner = memory_owner(%(user_id)s) AND forgotten_at >= %(since)s
)
ON CONFLICT (user_id, task_id) DO UPDATE SET value = excluded.value
