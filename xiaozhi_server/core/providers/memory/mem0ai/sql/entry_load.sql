-- All of one owner that may be recalled, a page of it in the order of the ids, what waits in the outbox, and which agent
-- may read of which, as of one moment. With `since` (an earlier such moment) only the rows that may have come or changed
-- after it, those that are not to be recalled any more marked as gone, and how many there are in all. There is always one
-- row.
SELECT {columns},
       array_agg(NOT entry.lives) AS gone,
       json_build_object(
           'moment', pg_snapshot_xmin(pg_current_snapshot())::text,
           'size', (SELECT count(*) FROM memory_entry AS entry
                    WHERE user_id = %(user_id)s AND %(since)s::text IS NOT NULL AND {lives}),
           'shares', (SELECT coalesce(json_agg(json_build_array(agent_id, from_agent)), '[]')
                      FROM memory_share WHERE user_id = %(user_id)s),
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
