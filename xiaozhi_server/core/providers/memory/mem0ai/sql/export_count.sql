SELECT (SELECT count(*) FROM memory_history WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s) AS history,
       (SELECT count(*) FROM memory_thing WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s) AS thing,
       (SELECT count(*) FROM memory_entry WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s) AS memory,
       (SELECT count(*) FROM memory_link WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s) AS link,
       (SELECT count(*) FROM memory_relation WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s) AS relation,
       (SELECT count(*) FROM memory_summary WHERE %(user_id)s::text IS NULL OR user_id = %(user_id)s) AS summary,
       (SELECT count(*) FROM memory_outbox
        WHERE state <> 'done' AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)) AS unsaved
