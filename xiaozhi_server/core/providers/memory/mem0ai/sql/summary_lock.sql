-- Who writes a summary and who takes away what it may tell wait for each other, each owner's for themselves.
SELECT pg_advisory_xact_lock(hashtextextended('memory_summary ' || %(user_id)s::text, 0))
