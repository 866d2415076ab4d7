-- Not for a person who was forgotten meanwhile: the row that is locked is one of theirs.
INSERT INTO memory_audit (user_id, event, agent_id, from_agent, day, happened_at, reads)
SELECT user_id, 'READ', %(agent_id)s, %(from_agent)s, %(day)s, now(), %(reads)s
FROM (
    SELECT user_id FROM memory_entry WHERE user_id = %(user_id)s ORDER BY id LIMIT 1 FOR KEY SHARE
) AS person
ON CONFLICT (user_id, agent_id, from_agent, day) WHERE event = 'READ' DO UPDATE
SET reads = memory_audit.reads + excluded.reads, happened_at = excluded.happened_at
