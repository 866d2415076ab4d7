DELETE FROM memory_extraction_task WHERE updated_at < %(before)s
