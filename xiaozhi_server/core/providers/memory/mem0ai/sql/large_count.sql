-- Count anew how often each word stands in an owner's memories.
INSERT INTO memory_large (user_id, size, mean_length, tokens, counts, speakers)
SELECT %(user_id)s, whole.size, whole.mean_length, coalesce(often.tokens, '{}'), coalesce(often.counts, '{}'),
       coalesce(whole.speakers, '{}')
FROM (
    SELECT count(*) AS size, coalesce(avg(cardinality(words)), 0) AS mean_length,
           (array_agg(DISTINCT speaker) FILTER (WHERE speaker IS NOT NULL))[1:100] AS speakers
    FROM memory_entry
    WHERE user_id = %(user_id)s
) AS whole
CROSS JOIN (
    SELECT array_agg(token) AS tokens, array_agg(rows) AS counts
    FROM (
        SELECT word.token, count(*)::integer AS rows
        FROM memory_entry AS entry CROSS JOIN LATERAL (SELECT DISTINCT unnest(entry.words) AS token) AS word
        WHERE entry.user_id = %(user_id)s
        GROUP BY word.token
    ) AS counted
) AS often
WHERE whole.size > 0
ON CONFLICT (user_id) DO UPDATE
SET size = excluded.size, mean_length = excluded.mean_length, tokens = excluded.tokens, counts = excluded.counts,
    speakers = excluded.speakers, counted_at = now()
