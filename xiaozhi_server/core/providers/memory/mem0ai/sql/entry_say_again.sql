-- A memory was told once more: that counts as a use of it. With a longer text, that one takes its place, unless somebody
-- has changed it meanwhile; the old one goes into the history.
WITH known AS (
    SELECT user_id, id, text, role, speaker, created_at, (%(longer)s AND text = %(old_text)s) AS grows
    FROM memory_entry
    WHERE user_id = %(user_id)s AND id = %(id)s AND superseded_by IS NULL
    FOR UPDATE
), told AS (
    INSERT INTO memory_history (user_id, memory_id, event, old_text, new_text, role, speaker, created_at)
    SELECT user_id, id, 'UPDATE', text, %(text)s, role, speaker, created_at FROM known WHERE grows
)
UPDATE memory_entry AS entry
SET accessed_at = greatest(entry.accessed_at, %(said_at)s),
    access_count = entry.access_count + 1,
    text = CASE WHEN grows THEN %(text)s ELSE entry.text END,
    updated_at = CASE WHEN grows THEN greatest(entry.updated_at, %(said_at)s) ELSE entry.updated_at END,
    words = CASE WHEN grows THEN %(words)s::integer[] ELSE entry.words END,
    embedder = CASE WHEN grows THEN %(embedder)s ELSE entry.embedder END,
    embedding = CASE WHEN grows THEN %(embedding)s::halfvec ELSE entry.embedding END
FROM known
WHERE entry.user_id = known.user_id AND entry.id = known.id
RETURNING entry.id
