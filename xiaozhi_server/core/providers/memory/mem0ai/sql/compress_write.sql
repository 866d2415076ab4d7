-- The summary is there. From now on it is recalled in place of its sources, is about what they are about, and has been
-- recalled as lately and as well as the best of them: nothing fades earlier for being summarised.
WITH compressed AS (
    UPDATE memory_entry
    SET compressed_into = %(summary)s
    WHERE user_id = %(user_id)s AND id = ANY (%(ids)s)
    RETURNING user_id, id, text, role, speaker, created_at, accessed_at, access_count, quality
), recalled AS (
    UPDATE memory_entry AS summary
    SET accessed_at = best.accessed_at, access_count = best.access_count, quality = best.quality
    FROM (
        SELECT max(accessed_at) AS accessed_at, max(access_count) AS access_count, max(quality) AS quality
        FROM compressed
    ) AS best
    WHERE summary.user_id = %(user_id)s AND summary.id = %(summary)s
), linked AS (
    INSERT INTO memory_link (user_id, memory_id, thing_id)
    SELECT DISTINCT user_id, %(summary)s::uuid, thing_id
    FROM memory_link
    WHERE user_id = %(user_id)s AND memory_id = ANY (%(ids)s)
)
INSERT INTO memory_history (user_id, memory_id, event, old_text, new_text, role, speaker, created_at)
SELECT user_id, id, 'COMPRESS', text, %(text)s, role, speaker, created_at FROM compressed
