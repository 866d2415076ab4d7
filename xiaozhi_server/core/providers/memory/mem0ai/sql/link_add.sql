INSERT INTO memory_link (user_id, memory_id, thing_id)
SELECT %(user_id)s, entry.id, thing.id
FROM memory_entry AS entry
JOIN memory_thing AS thing ON thing.user_id = entry.user_id AND thing.id = %(thing_id)s
WHERE entry.user_id = %(user_id)s AND entry.id = %(memory_id)s
ON CONFLICT DO NOTHING
