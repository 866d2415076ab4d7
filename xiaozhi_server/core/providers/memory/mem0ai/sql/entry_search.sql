-- The rows of one owner that may answer a question: the nearest in meaning and those with its rarest words, compared
-- exactly over all that is in scope. What the ranking must know about the whole travels on the first row.
WITH mine AS MATERIALIZED (
    SELECT id, words,
           CASE WHEN embedder = %(embedder)s THEN embedding <=> %(vector)s::halfvec END AS distance
    FROM memory_entry
    WHERE user_id = %(user_id)s
      AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
      AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
), whole AS (
    SELECT count(*) AS size, coalesce(avg(cardinality(words)), 0)::float8 AS mean_length FROM mine
), hit AS MATERIALIZED (
    SELECT DISTINCT mine.id, word.token
    FROM mine CROSS JOIN LATERAL unnest(mine.words) AS word (token)
    WHERE mine.words && %(tokens)s::integer[] AND word.token = ANY (%(tokens)s::integer[])
), seen AS (
    SELECT token, count(*) AS frequency FROM hit GROUP BY token
), rarity AS (
    SELECT seen.token,
           asked.weight * ln((1 + (whole.size - seen.frequency + 0.5) / (seen.frequency + 0.5))::float8) AS gain
    FROM seen
    JOIN unnest(%(tokens)s::integer[], %(weights)s::float8[]) AS asked (token, weight) ON asked.token = seen.token
    CROSS JOIN whole
), chosen AS (
    (SELECT hit.id FROM hit JOIN rarity USING (token) GROUP BY hit.id ORDER BY sum(rarity.gain) DESC LIMIT %(width)s)
    UNION
    (SELECT id FROM mine WHERE distance IS NOT NULL ORDER BY distance LIMIT %(width)s)
)
SELECT entry.id, entry.user_id, entry.agent_id, entry.run_id, entry.session_id, entry.role, entry.speaker, entry.text,
       entry.metadata, entry.created_at, entry.updated_at, entry.words,
       CASE WHEN entry.embedder = %(embedder)s THEN entry.embedding <=> %(vector)s::halfvec END AS distance,
       CASE WHEN row_number() OVER () = 1 THEN (SELECT json_build_object(
           'size', (SELECT size FROM whole),
           'mean_length', (SELECT mean_length FROM whole),
           'frequency', (SELECT coalesce(json_object_agg(token, frequency), '{}') FROM seen)
       )) END AS corpus
FROM chosen
JOIN memory_entry AS entry ON entry.user_id = %(user_id)s AND entry.id = chosen.id
