-- What was to be added, as if it had been added and deleted; with `before` only what was accepted before that one.
DELETE FROM memory_accepted
WHERE user_id = %(user_id)s
  AND operation = 'add'
  AND (%(agent_id)s::text IS NULL OR arguments ->> 'agent_id' = %(agent_id)s)
  AND (%(run_id)s::text IS NULL OR arguments ->> 'run_id' = %(run_id)s)
  AND (%(before)s::uuid IS NULL
       OR seq < (SELECT seq FROM memory_accepted WHERE user_id = %(user_id)s AND id = %(before)s))
