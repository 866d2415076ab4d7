SELECT user_id, key, agent_id, session_id, messages, attempts, instruction
FROM memory_outbox
WHERE user_id = %(user_id)s
  AND (%(agent_id)s::text IS NULL OR agent_id = ANY (%(agents)s::text[]))
  AND state <> 'done'
ORDER BY seq DESC
LIMIT %(limit)s
