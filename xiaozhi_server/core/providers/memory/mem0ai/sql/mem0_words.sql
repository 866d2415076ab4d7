-- The rows of one owner with the rarest of these words, by BM25 without the lengths.
WITH mine AS MATERIALIZED (
    SELECT id, words
    FROM memory_entry
    WHERE user_id = %(user_id)s
      AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
      AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
      AND {filter}
), hit AS MATERIALIZED (
    SELECT DISTINCT mine.id, word.token
    FROM mine CROSS JOIN LATERAL unnest(mine.words) AS word (token)
    WHERE mine.words && %(tokens)s::integer[] AND word.token = ANY (%(tokens)s::integer[])
), worth AS (
    SELECT token, ln(1 + ((SELECT count(*) FROM mine) - count(*) + 0.5) / (count(*) + 0.5)) AS gain
    FROM hit
    GROUP BY token
), best AS (
    SELECT hit.id, sum(worth.gain)::float8 AS score
    FROM hit JOIN worth USING (token)
    GROUP BY hit.id
    ORDER BY score DESC
    LIMIT %(limit)s
)
SELECT entry.id, entry.user_id, entry.agent_id, entry.run_id, entry.session_id, entry.role, entry.speaker, entry.text,
       entry.metadata, entry.created_at, entry.updated_at, entry.subtype, entry.flag, entry.position, entry.valid_from,
       entry.valid_to, entry.superseded_by, entry.expires_at, entry.accessed_at, entry.access_count,
       entry.pinned, entry.quality, entry.compressed_into,
       best.score
FROM best
JOIN memory_entry AS entry ON entry.user_id = %(user_id)s AND entry.id = best.id
ORDER BY best.score DESC, entry.id
