-- After memories are gone: what no memory is about any more goes too.
DELETE FROM memory_thing AS thing
WHERE user_id = ANY (%(owners)s)
  AND NOT EXISTS (SELECT FROM memory_link WHERE user_id = thing.user_id AND thing_id = thing.id)
  AND NOT EXISTS (SELECT FROM memory_relation WHERE user_id = thing.user_id AND subject = thing.id)
  AND NOT EXISTS (SELECT FROM memory_relation WHERE user_id = thing.user_id AND object = thing.id)
