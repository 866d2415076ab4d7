-- One that had ended holds again.
INSERT INTO memory_relation (user_id, id, agent_id, subject, relation, object, memory_id, created_at)
SELECT %(user_id)s, %(id)s, %(agent_id)s, subject.id, %(relation)s, object.id, entry.id, %(said_at)s
FROM memory_entry AS entry
JOIN memory_thing AS subject ON subject.user_id = entry.user_id AND subject.id = %(subject)s
JOIN memory_thing AS object ON object.user_id = entry.user_id AND object.id = %(object)s
WHERE entry.user_id = %(user_id)s AND entry.id = %(memory_id)s
ON CONFLICT (user_id, subject, relation, object) DO UPDATE
SET valid_to = NULL, memory_id = excluded.memory_id
WHERE memory_relation.valid_to IS NOT NULL
