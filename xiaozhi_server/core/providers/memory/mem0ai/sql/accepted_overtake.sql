-- Texts that were given up before this one was accepted for the same memory: tried again, they would undo it.
DELETE FROM memory_accepted
WHERE user_id = %(user_id)s
  AND operation = 'update'
  AND state = 'dead'
  AND arguments ->> 'id' = %(memory_id)s
  AND arguments -> 'metadata' IS NULL
  AND seq < (SELECT seq FROM memory_accepted WHERE user_id = %(user_id)s AND id = %(id)s)
