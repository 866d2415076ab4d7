SELECT pg_advisory_xact_lock(hashtextextended('owner ' || %(owner_id)s::text, 0))
