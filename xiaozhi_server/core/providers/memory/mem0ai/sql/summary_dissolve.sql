-- Summaries go, and what they stood for is recalled again.
WITH gone AS (
    DELETE FROM memory_entry
    WHERE user_id = %(user_id)s AND id = ANY (%(summaries)s)
    RETURNING user_id, id, text, role, speaker, created_at
), restored AS (
    UPDATE memory_entry
    SET compressed_into = NULL
    WHERE user_id = %(user_id)s AND compressed_into = ANY (%(summaries)s)
    RETURNING user_id, id, text, role, speaker, created_at
), told AS (
    INSERT INTO memory_history (user_id, memory_id, event, old_text, new_text, role, speaker, created_at)
    SELECT user_id, id, 'DELETE', text, NULL, role, speaker, created_at FROM gone
    UNION ALL
    SELECT user_id, id, 'RESTORE', text, text, role, speaker, created_at FROM restored
)
SELECT count(*) AS restored FROM restored
