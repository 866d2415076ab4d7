-- The texts go, the keys stay: what is forgotten must not come back when its exchange is handed in again.
UPDATE memory_outbox
SET state = 'done', messages = NULL, images = NULL, instruction = '', error = NULL, done_at = now()
WHERE user_id = %(user_id)s
  AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
  AND (%(key)s::text IS NULL OR key = %(key)s)
  AND state <> 'done'
