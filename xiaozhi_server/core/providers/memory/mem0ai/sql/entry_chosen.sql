mine AS MATERIALIZED (
    SELECT id, words, {held_from} AS held_from, {held_to} AS held_to,
           CASE WHEN embedder = %(embedder)s THEN embedding <=> %(vector)s::halfvec END AS distance
    FROM memory_entry AS entry
    WHERE {mine}
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
), chosen AS MATERIALIZED (
    SELECT id, min(place) AS place
    FROM (
        (SELECT hit.id, row_number() OVER (ORDER BY sum(rarity.gain) DESC) AS place
         FROM hit JOIN rarity USING (token) GROUP BY hit.id ORDER BY place LIMIT %(width)s)
        UNION ALL
        (SELECT id, row_number() OVER (ORDER BY distance) AS place
         FROM mine WHERE distance <> 'NaN' ORDER BY place LIMIT %(width)s)
        UNION ALL
        (SELECT id, row_number() OVER (ORDER BY distance) AS place
         FROM mine
         WHERE EXISTS (
             SELECT FROM unnest(%(begins)s::float8[], %(ends)s::float8[]) AS span (begins, ends)
             WHERE held_from <= to_timestamp(ends) AND held_to >= to_timestamp(begins)
         )
         ORDER BY place LIMIT %(width)s)
        UNION ALL
        (SELECT id, row_number() OVER (ORDER BY distance) AS place
         FROM mine
         WHERE id IN (
             SELECT memory_id FROM memory_link
             WHERE user_id = %(user_id)s AND thing_id = ANY (%(things)s::uuid[])
         )
         ORDER BY place LIMIT %(width)s)
    ) AS found
    GROUP BY id
)
