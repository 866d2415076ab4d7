-- Until the transaction ends nobody forgets this owner.
SELECT pg_advisory_xact_lock_shared(hashtextextended('owner ' || %(owner_id)s::text, 0))
