-- Not for a person who was forgotten meanwhile: they have no memories.
INSERT INTO memory_audit (user_id, event, agent_id, from_agent, day, happened_at, reads)
SELECT user_id, 'READ', %(agent_id)s, %(from_agent)s, %(day)s, now(), %(reads)s
FROM (SELECT %(user_id)s::text AS user_id) AS person
WHERE EXISTS (SELECT FROM memory_entry WHERE memory_entry.user_id = person.user_id)
ON CONFLICT (user_id, agent_id, from_agent, day) WHERE event = 'READ' DO UPDATE
SET reads = memory_audit.reads + excluded.reads, happened_at = excluded.happened_at
