near AS MATERIALIZED (
    SELECT id
    FROM memory_entry AS entry
    WHERE {mine} AND embedder = %(embedder)s::smallint AND %(vector)s::halfvec IS NOT NULL
    ORDER BY embedding::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions})
    LIMIT %(width)s
), worded AS MATERIALIZED (
    SELECT id, words FROM memory_entry AS entry WHERE {mine} AND ({worded}) LIMIT %(worded_max)s
), timed AS MATERIALIZED (
    SELECT within.id, within.distance
    FROM unnest(%(begins)s::float8[], %(ends)s::float8[]) AS span (begins, ends)
    CROSS JOIN LATERAL (
        SELECT id, CASE WHEN embedder = %(embedder)s::smallint THEN embedding <=> %(vector)s::halfvec END AS distance
        FROM memory_entry AS entry
        WHERE {mine} AND created_at BETWEEN to_timestamp(span.begins) AND to_timestamp(span.ends)
        ORDER BY created_at DESC
        LIMIT %(timed_max)s
    ) AS within
), linked AS MATERIALIZED (
    SELECT id, CASE WHEN embedder = %(embedder)s::smallint THEN embedding <=> %(vector)s::halfvec END AS distance
    FROM memory_entry AS entry
    WHERE {mine} AND id IN (
        SELECT memory_id FROM memory_link WHERE user_id = %(user_id)s AND thing_id = ANY (%(things)s::uuid[])
    )
    ORDER BY created_at DESC
    LIMIT %(linked_max)s
), chosen AS MATERIALIZED (
    SELECT id, min(place) AS place
    FROM (
        SELECT id, row_number() OVER () AS place FROM near
        UNION ALL
        (SELECT id, row_number() OVER (ORDER BY distance) AS place FROM timed ORDER BY place LIMIT %(width)s)
        UNION ALL
        (SELECT id, row_number() OVER (ORDER BY distance) AS place FROM linked ORDER BY place LIMIT %(width)s)
        UNION ALL
        (SELECT id, row_number() OVER (ORDER BY worth DESC) AS place
         FROM worded CROSS JOIN LATERAL (
             SELECT sum(asked.worth) AS worth
             FROM unnest(%(tokens)s::integer[], %(worths)s::float8[]) AS asked (token, worth)
             WHERE asked.token = ANY (worded.words)
         ) AS found
         ORDER BY place LIMIT %(width)s)
    ) AS found
    GROUP BY id
)
