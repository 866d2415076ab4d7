-- The entries that still wait, marked; nobody settles them until our transaction ends. Who holds one is about to.
WITH waiting AS (
    SELECT entry.user_id, entry.key
    FROM memory_outbox AS entry
    JOIN unnest(%(user_ids)s::text[], %(keys)s::text[]) AS wanted (user_id, key)
      ON entry.user_id = wanted.user_id AND entry.key = wanted.key
    WHERE entry.state <> 'done'
    FOR UPDATE OF entry SKIP LOCKED
)
INSERT INTO memory_platform (user_id, key, copied)
SELECT user_id, key, true FROM waiting
ON CONFLICT (user_id, key) DO UPDATE SET copied = true
RETURNING user_id, key
