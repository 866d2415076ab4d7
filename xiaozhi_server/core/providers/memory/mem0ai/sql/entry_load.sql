-- All of one owner that may be recalled, a page of it in the order of the ids, what waits in the outbox, which agent may
-- read of which, and the people and things, as of one moment. With `since` (an earlier such moment) only the rows that
-- may have come or changed after it, those that are not to be recalled any more marked as gone, and how many there are in
-- all. `hidden` is whether some can only be asked for, as far as so many rows tell. There is always one row.
SELECT {columns},
       array_agg(NOT entry.lives) AS gone,
       (SELECT string_agg(uuid_send(memory_id) || uuid_send(thing_id), '')
        FROM memory_link
        WHERE user_id = %(user_id)s AND %(after)s::uuid IS NULL) AS links,
       json_build_object(
           'moment', pg_snapshot_xmin(pg_current_snapshot())::text,
           'size', (SELECT count(*) FROM memory_entry AS entry
                    WHERE user_id = %(user_id)s AND %(since)s::text IS NOT NULL AND {lives}),
           'shares', {shares},
           'hidden', (SELECT count(*) FILTER (WHERE {hidden}) > 0 OR count(*) >= %(looked_through)s
                      FROM (SELECT * FROM memory_entry
                            WHERE user_id = %(user_id)s AND %(after)s::uuid IS NULL
                            LIMIT %(looked_through)s) AS entry),
           'known', CASE WHEN %(after)s::uuid IS NULL THEN {known} END,
           'unsaved', (SELECT coalesce(json_agg(unsaved), '[]') FROM (
               SELECT user_id, key, agent_id, session_id, messages, attempts
               FROM memory_outbox
               WHERE user_id = %(user_id)s AND state <> 'done'
               ORDER BY seq DESC
               LIMIT %(unsaved_shown)s
           ) AS unsaved)
       ) AS state
FROM (
    SELECT *, {lives} AS lives
    FROM memory_entry AS entry
    WHERE user_id = %(user_id)s
      AND (%(after)s::uuid IS NULL OR id > %(after)s)
      AND CASE WHEN %(since)s::text IS NULL THEN {lives} ELSE age(xmin) <= age(%(since)s::text::xid) END
    ORDER BY id
    LIMIT %(page)s
) AS entry
