-- What mem0 changes of a memory. Its old text goes into the history. Without a vector it is found by the old one.
WITH told AS (
    INSERT INTO memory_history (user_id, memory_id, event, old_text, new_text, role, speaker, created_at)
    SELECT user_id, id, 'UPDATE', text, %(text)s, role, speaker, created_at
    FROM memory_entry
    WHERE user_id = %(user_id)s AND id = %(id)s
)
UPDATE memory_entry
SET text = %(text)s, metadata = %(metadata)s::jsonb, role = %(role)s, speaker = %(speaker)s,
    updated_at = %(updated_at)s, subtype = %(subtype)s, flag = %(flag)s, expires_at = %(expires_at)s,
    words = %(words)s::integer[],
    embedder = CASE WHEN %(embedding)s::halfvec IS NULL THEN embedder ELSE %(embedder)s END,
    embedding = coalesce(%(embedding)s::halfvec, embedding)
WHERE user_id = %(user_id)s AND id = %(id)s
RETURNING compressed_into
