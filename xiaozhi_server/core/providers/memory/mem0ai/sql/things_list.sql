-- {which} narrows it down further: one of them, or those behind a cursor.
SELECT id, user_id, agent_id, name, kind, key, also, created_at, updated_at,
       (SELECT count(*) FROM memory_link AS link
        WHERE link.user_id = %(user_id)s AND link.thing_id = thing.id) AS memories
FROM memory_thing AS thing
WHERE user_id = %(user_id)s
  AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
  AND {which}
ORDER BY id
LIMIT %(limit)s
