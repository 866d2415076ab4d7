-- Things of the file that are known here by another id.
SELECT line.user_id, line.id, twin.id AS known_as
FROM jsonb_to_recordset(%(rows)s::jsonb) AS line (user_id text, id uuid, agent_id text, key text)
JOIN memory_thing AS twin
  ON twin.user_id = line.user_id AND twin.agent_id = line.agent_id AND twin.key = line.key AND twin.id <> line.id
WHERE NOT EXISTS (SELECT FROM memory_thing AS same WHERE same.user_id = line.user_id AND same.id = line.id)
