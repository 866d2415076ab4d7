-- {which} narrows it down further: one of them, those of a thing, or those behind a cursor.
SELECT relation.id, relation.user_id, relation.agent_id, relation.subject AS subject_id, subject.name AS subject,
       relation.relation, relation.object AS object_id, object.name AS object, relation.memory_id, relation.created_at,
       relation.valid_to
FROM memory_relation AS relation
JOIN memory_thing AS subject ON subject.user_id = relation.user_id AND subject.id = relation.subject
JOIN memory_thing AS object ON object.user_id = relation.user_id AND object.id = relation.object
WHERE relation.user_id = %(user_id)s
  AND (%(agent_id)s::text IS NULL OR relation.agent_id = %(agent_id)s)
  AND {which}
ORDER BY relation.id
LIMIT %(limit)s
