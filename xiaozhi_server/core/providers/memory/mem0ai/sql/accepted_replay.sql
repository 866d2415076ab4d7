UPDATE memory_accepted
SET state = 'waiting', attempts = 0, error = NULL, due_at = now()
WHERE state = 'dead'
  AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
  AND (%(id)s::uuid IS NULL OR id = %(id)s)
