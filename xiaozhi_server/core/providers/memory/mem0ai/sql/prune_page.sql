-- A page of memories in the order of their keys, and `why` each goes, NULL where it stays. The numbers are those of
-- retention.py, which says the same of one memory; here ages are compared, since a retention too small for a number is an
-- error. What a summary stands for fades with it; a summary of something pinned stays. `spared` has faded and stays
-- because it, or what it stands for, was used lately, however badly it fitted.
SELECT user_id, id, accessed_at, used_at, judged, forget, ttl_days,
       why IS NULL AND has_faded AND was_used AS spared,
       coalesce(why, CASE WHEN has_faded AND NOT was_used THEN 'faded' END) AS why
FROM (
    SELECT entry.user_id, entry.id, entry.accessed_at, entry.used_at, entry.judged, rule.forget, rule.ttl_days,
           CASE
               WHEN NOT stays AND entry.expires_at < %(expired_before)s THEN 'expired'
               WHEN NOT stays AND entry.created_days > rule.ttl_days THEN 'too_old'
           END AS why,
           coalesce(
               NOT stays AND rule.forget AND entry.compressed_into IS NULL
               AND entry.age_days > -ln(%(theta)s::float8) * entry.s0
                   * power(%(g)s::float8, least(entry.access_count, %(n_max)s) * coalesce(entry.quality, 0)::float8),
               false
           ) AS has_faded,
           coalesce(greatest(entry.used_at, entry.accessed_at, sources.used_at) >= %(used_since)s, false) AS was_used
    FROM (
        SELECT user_id, id, agent_id, pinned, expires_at, compressed_into, accessed_at, used_at, access_count, quality,
               %(agent_id)s::text IS NULL OR agent_id = %(agent_id)s AS judged,
               CASE WHEN created_at BETWEEN %(earliest)s AND %(now)s
                   THEN extract(epoch FROM %(now)s::timestamptz - created_at)::float8 / 86400 END AS created_days,
               CASE WHEN coalesce(accessed_at, created_at) BETWEEN %(earliest)s AND %(now)s
                   THEN extract(epoch FROM %(now)s::timestamptz - coalesce(accessed_at, created_at))::float8 / 86400
               END AS age_days,
               coalesce(CASE WHEN flag = '' THEN (%(s0_by_subtype)s::jsonb ->> subtype)::float8 END, %(s0)s::float8) AS s0
        FROM memory_entry
        WHERE {place}
        ORDER BY user_id, id
        LIMIT %(page)s
    ) AS entry
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(source.pinned), false) AS pinned,
               max(greatest(source.used_at, source.accessed_at)) AS used_at
        FROM memory_entry AS source
        WHERE source.user_id = entry.user_id AND source.compressed_into = entry.id
    ) AS sources
    CROSS JOIN LATERAL (SELECT NOT entry.judged OR entry.pinned OR sources.pinned AS stays) AS kept
    LEFT JOIN unnest(%(rule_agents)s::text[], %(rule_forget)s::boolean[], %(rule_ttl_days)s::integer[])
        AS rule (agent_id, forget, ttl_days) ON rule.agent_id = {rule_of}
) AS judgement
