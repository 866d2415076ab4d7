UPDATE memory_outbox
SET state = 'waiting', attempts = 0, batch = NULL, ended = true, error = NULL, due_at = now()
WHERE state = 'dead'
  AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
  AND (%(key)s::text IS NULL OR key = %(key)s)
