-- What changes is known: the row is locked. Its old text goes into the history.
WITH told AS (
    INSERT INTO memory_history (user_id, memory_id, event, old_text, new_text, role, speaker, created_at)
    SELECT user_id, id, 'UPDATE', text, %(text)s, role, speaker, created_at
    FROM memory_entry
    WHERE user_id = %(user_id)s AND id = %(id)s
)
UPDATE memory_entry
SET text = %(text)s,
    metadata = %(metadata)s::jsonb,
    updated_at = now(),
    words = coalesce(%(words)s::integer[], words),
    embedder = CASE WHEN %(words)s::integer[] IS NULL THEN embedder ELSE %(embedder)s END,
    embedding = CASE WHEN %(words)s::integer[] IS NULL THEN embedding ELSE %(embedding)s::halfvec END
WHERE user_id = %(user_id)s AND id = %(id)s
RETURNING updated_at
