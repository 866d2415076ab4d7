-- The rows of one agent, whoever they belong to, that may answer a question: chosen as in entry_chosen.sql and brought
-- as in entry_search.sql, each with its owner. There is always one row.
WITH mine AS MATERIALIZED (
    SELECT user_id, id, words, {held_from} AS held_from, {held_to} AS held_to,
           CASE WHEN embedder = %(embedder)s THEN embedding <=> %(vector)s::halfvec END AS distance
    FROM memory_entry AS entry
    WHERE {mine}
), whole AS (
    SELECT count(*) AS size, coalesce(avg(cardinality(words)), 0)::float8 AS mean_length FROM mine
), hit AS MATERIALIZED (
    SELECT DISTINCT mine.user_id, mine.id, word.token
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
    SELECT user_id, id
    FROM (
        (SELECT hit.user_id, hit.id, row_number() OVER (ORDER BY sum(rarity.gain) DESC) AS place
         FROM hit JOIN rarity USING (token) GROUP BY hit.user_id, hit.id ORDER BY place LIMIT %(width)s)
        UNION ALL
        (SELECT user_id, id, row_number() OVER (ORDER BY distance) AS place
         FROM mine WHERE distance <> 'NaN' ORDER BY place LIMIT %(width)s)
        UNION ALL
        (SELECT user_id, id, row_number() OVER (ORDER BY distance) AS place
         FROM mine
         WHERE EXISTS (
             SELECT FROM unnest(%(begins)s::float8[], %(ends)s::float8[]) AS span (begins, ends)
             WHERE held_from <= to_timestamp(ends) AND held_to >= to_timestamp(begins)
         )
         ORDER BY place LIMIT %(width)s)
    ) AS found
    GROUP BY user_id, id
), beside AS MATERIALIZED (
    SELECT chosen.user_id, chosen.id, previous.id AS before, next.id AS after
    FROM chosen
    JOIN memory_entry AS here ON here.user_id = chosen.user_id AND here.id = chosen.id
    LEFT JOIN LATERAL (
        SELECT id FROM memory_entry AS entry
        WHERE entry.user_id = here.user_id AND {mine} AND session_id = here.session_id AND session_id <> ''
          AND (created_at, position, id) < (here.created_at, here.position, here.id)
        ORDER BY created_at DESC, position DESC, id DESC
        LIMIT 1
    ) AS previous ON true
    LEFT JOIN LATERAL (
        SELECT id FROM memory_entry AS entry
        WHERE entry.user_id = here.user_id AND {mine} AND session_id = here.session_id AND session_id <> ''
          AND (created_at, position, id) > (here.created_at, here.position, here.id)
        ORDER BY created_at, position, id
        LIMIT 1
    ) AS next ON true
), wanted AS (
    SELECT user_id, id, true AS linked, before, after FROM beside
    UNION ALL
    SELECT user_id, id, false, NULL, NULL
    FROM (
        SELECT user_id, before AS id FROM beside
        UNION SELECT user_id, after FROM beside
    ) AS other
    WHERE id IS NOT NULL
      AND NOT EXISTS (SELECT FROM beside WHERE beside.user_id = other.user_id AND beside.id = other.id)
)
SELECT {columns},
       array_agg(wanted.linked) AS linked,
       string_agg(coalesce(uuid_send(wanted.before), %(no_id)s), '') AS before,
       string_agg(coalesce(uuid_send(wanted.after), %(no_id)s), '') AS after,
       NULL::bytea AS links,
       json_build_object(
           'whole', {whole},
           'unsaved', (SELECT coalesce(json_agg(unsaved), '[]') FROM (
               SELECT user_id, key, agent_id, session_id, messages, attempts
               FROM memory_outbox
               WHERE nullif(agent_id, '') = %(agent_id)s AND state <> 'done'
               ORDER BY seq DESC
               LIMIT %(unsaved_shown)s
           ) AS unsaved)
       ) AS state,
       array_agg(entry.user_id) AS owners
FROM wanted
JOIN memory_entry AS entry ON entry.user_id = wanted.user_id AND entry.id = wanted.id
