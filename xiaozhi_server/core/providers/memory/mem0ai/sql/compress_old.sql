memory_entry AS entry
JOIN unnest(%(rule_agents)s::text[], %(rule_before)s::timestamptz[], %(rule_verbatim)s::boolean[])
    AS rule (agent_id, before, verbatim)
    ON rule.agent_id = {rule_of}
   AND entry.created_at BETWEEN %(earliest)s AND rule.before
   AND coalesce(entry.accessed_at < rule.before, true)
   AND (entry.subtype = 'episodic' OR (entry.subtype = '' AND rule.verbatim))
   AND (%(agent_id)s::text IS NULL OR entry.agent_id = %(agent_id)s)
   AND NOT entry.pinned
   AND entry.expires_at IS NULL
   AND entry.flag <> ALL (%(suspect)s::text[])
   AND {lives}
   AND NOT EXISTS (
       SELECT FROM memory_entry AS source
       WHERE source.user_id = entry.user_id AND source.compressed_into = entry.id
   )
