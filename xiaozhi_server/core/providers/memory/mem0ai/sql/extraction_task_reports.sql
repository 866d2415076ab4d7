SELECT value FROM memory_extraction_report WHERE task_id = %(id)s ORDER BY number
