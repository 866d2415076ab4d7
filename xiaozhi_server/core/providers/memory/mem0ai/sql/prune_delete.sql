-- One page: what goes, goes with what it stands for, and leaves its text in the history. A memory that somebody else
-- changes right now stays for this time, and so does one that was pinned or recalled since it was judged.
WITH page AS MATERIALIZED (
{page}
), due AS (
    SELECT entry.user_id, entry.id, page.why
    FROM page
    JOIN memory_entry AS entry ON entry.user_id = page.user_id AND entry.id = page.id
    WHERE page.why IS NOT NULL
      AND NOT entry.pinned
      AND (page.why <> 'faded' OR (entry.accessed_at IS NOT DISTINCT FROM page.accessed_at
                                   AND entry.used_at IS NOT DISTINCT FROM page.used_at))
    FOR UPDATE OF entry SKIP LOCKED
), whole AS (
    SELECT user_id, id FROM due
    UNION
    SELECT source.user_id, source.id
    FROM due
    JOIN memory_entry AS source ON source.user_id = due.user_id AND source.compressed_into = due.id
), gone AS (
    DELETE FROM memory_entry AS entry
    USING whole
    WHERE entry.user_id = whole.user_id AND entry.id = whole.id
    RETURNING entry.user_id, entry.id, entry.text, entry.role, entry.speaker, entry.created_at
), told AS (
    INSERT INTO memory_history (user_id, memory_id, event, old_text, role, speaker, created_at)
    SELECT user_id, id, 'DELETE', text, role, speaker, created_at FROM gone
)
SELECT (SELECT count(*) FROM page) AS seen,
       (SELECT count(*) FROM page WHERE judged) AS judged,
       (SELECT count(*) FROM page WHERE spared) AS spared,
       (SELECT count(*) FROM gone) AS gone,
       (SELECT coalesce(json_object_agg(why, entries), '{}')
        FROM (SELECT why, count(*) AS entries FROM due GROUP BY why) AS reason) AS reasons,
       (SELECT coalesce(array_agg(DISTINCT user_id), '{}') FROM gone) AS owners,
       (SELECT json_build_array(user_id, id) FROM page ORDER BY user_id DESC, id DESC LIMIT 1) AS last
