-- The rows of one owner that may answer a question, the best of them with those before and after in their session, and
-- what the ranking must know about the whole. There is always one row.
WITH {chosen}, beside AS MATERIALIZED (
    SELECT chosen.id, previous.id AS before, next.id AS after
    FROM chosen
    JOIN memory_entry AS here ON here.user_id = %(user_id)s AND here.id = chosen.id
    LEFT JOIN LATERAL (
        SELECT id FROM memory_entry AS entry
        WHERE {mine} AND session_id = here.session_id AND session_id <> ''
          AND (created_at, position, id) < (here.created_at, here.position, here.id)
        ORDER BY created_at DESC, position DESC, id DESC
        LIMIT 1
    ) AS previous ON true
    LEFT JOIN LATERAL (
        SELECT id FROM memory_entry AS entry
        WHERE {mine} AND session_id = here.session_id AND session_id <> ''
          AND (created_at, position, id) > (here.created_at, here.position, here.id)
        ORDER BY created_at, position, id
        LIMIT 1
    ) AS next ON true
    WHERE chosen.place <= %(beside)s
), wanted AS (
    SELECT id, true AS linked, before, after FROM beside
    UNION ALL
    SELECT id, false, NULL, NULL
    FROM (
        SELECT id FROM chosen
        UNION SELECT before FROM beside
        UNION SELECT after FROM beside
    ) AS other
    WHERE id IS NOT NULL AND NOT EXISTS (SELECT FROM beside WHERE beside.id = other.id)
)
SELECT {columns},
       array_agg(wanted.linked) AS linked,
       string_agg(coalesce(uuid_send(wanted.before), %(no_id)s), '') AS before,
       string_agg(coalesce(uuid_send(wanted.after), %(no_id)s), '') AS after,
       (SELECT string_agg(uuid_send(link.memory_id) || uuid_send(link.thing_id), '')
        FROM memory_link AS link JOIN wanted ON wanted.id = link.memory_id
        WHERE link.user_id = %(user_id)s AND link.thing_id = ANY (%(things)s::uuid[])) AS links,
       json_build_object(
           'whole', {whole},
           'granted', {granted},
           'unsaved', (SELECT coalesce(json_agg(unsaved), '[]') FROM (
               SELECT user_id, key, agent_id, session_id, messages, attempts
               FROM memory_outbox
               WHERE user_id = %(user_id)s AND state <> 'done'
               ORDER BY seq DESC
               LIMIT %(unsaved_shown)s
           ) AS unsaved)
       ) AS state
FROM wanted
JOIN memory_entry AS entry ON entry.user_id = %(user_id)s AND entry.id = wanted.id
