-- Sizes with indexes. Counting every row takes its time where there are millions.
SELECT (SELECT count(*) FROM memory_entry) AS memories,
       (SELECT count(*) FROM memory_history) AS changes,
       (SELECT coalesce(json_object_agg(coalesce(name, ''), memories), '{}')
        FROM (SELECT embedder, count(*) AS memories FROM memory_entry GROUP BY embedder) AS used
        LEFT JOIN memory_embedder ON memory_embedder.id = used.embedder) AS embedders,
       (SELECT count(DISTINCT user_id) FROM memory_entry) AS owners,
       (SELECT coalesce(array_agg(user_id ORDER BY user_id), '{}') FROM memory_large) AS large_owners,
       pg_total_relation_size('memory_entry') AS entry_bytes,
       pg_total_relation_size('memory_history') AS history_bytes,
       pg_total_relation_size('memory_outbox') AS outbox_bytes
