-- One page as prune_delete.sql would treat it, and of what would go the first ones with what their judgement stands on.
WITH page AS MATERIALIZED (
{page}
), due AS (
    SELECT * FROM page WHERE why IS NOT NULL
), whole AS (
    SELECT user_id, id FROM due
    UNION
    SELECT source.user_id, source.id
    FROM due
    JOIN memory_entry AS source ON source.user_id = due.user_id AND source.compressed_into = due.id
), shown AS (
    SELECT entry.user_id, entry.id, entry.text, entry.subtype, entry.flag, entry.created_at, entry.accessed_at,
           entry.used_at, entry.access_count, entry.quality, due.why, due.forget, due.ttl_days
    FROM whole
    JOIN memory_entry AS entry ON entry.user_id = whole.user_id AND entry.id = whole.id
    LEFT JOIN due ON due.user_id = whole.user_id AND due.id = whole.id
    ORDER BY whole.user_id, whole.id
    LIMIT %(shown)s
)
SELECT (SELECT count(*) FROM page) AS seen,
       (SELECT count(*) FROM page WHERE judged) AS judged,
       (SELECT count(*) FROM page WHERE spared) AS spared,
       (SELECT count(*) FROM whole) AS gone,
       (SELECT coalesce(json_object_agg(why, entries), '{}')
        FROM (SELECT why, count(*) AS entries FROM due GROUP BY why) AS reason) AS reasons,
       (SELECT coalesce(json_agg(shown), '[]') FROM shown) AS shown,
       (SELECT json_build_array(user_id, id) FROM page ORDER BY user_id DESC, id DESC LIMIT 1) AS last
