-- The configuration has the last word on its own agent, but what it leaves open stays as it is.
INSERT INTO agent (id, name, prompt, language, timezone, memory_enabled, history, summary_memory, memory_rules)
VALUES (
    %(id)s, %(name)s, %(prompt)s, %(language)s, %(timezone)s, %(memory_enabled)s, %(history)s, %(summary_memory)s,
    %(memory_rules)s
)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name,
    prompt = excluded.prompt,
    language = excluded.language,
    timezone = excluded.timezone,
    memory_enabled = excluded.memory_enabled,
    history = excluded.history,
    summary_memory = coalesce(excluded.summary_memory, agent.summary_memory),
    memory_rules = excluded.memory_rules,
    updated_at = now()
