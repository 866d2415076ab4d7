SELECT id, value, started_at, updated_at FROM memory_extraction_task WHERE id = %(id)s
