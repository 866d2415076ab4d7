-- Until the transaction ends nobody forgets these owners. In one order, so that two writers cannot wait for each other.
SELECT pg_advisory_xact_lock_shared(hashtextextended('owner ' || owner_id, 0))
FROM (SELECT DISTINCT owner_id FROM unnest(%(owner_ids)s::text[]) AS named (owner_id) ORDER BY owner_id) AS held
