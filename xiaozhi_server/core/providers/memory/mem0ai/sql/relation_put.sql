-- By hand: no memory says so, and none takes it away. One that had ended holds again.
INSERT INTO memory_relation (user_id, id, agent_id, subject, relation, object, created_at)
VALUES (%(user_id)s, %(id)s, %(agent_id)s, %(subject)s, %(relation)s, %(object)s, now())
ON CONFLICT (user_id, subject, relation, object) DO UPDATE SET valid_to = NULL, memory_id = NULL
RETURNING id
