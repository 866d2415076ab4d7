json_build_object(
    'things', (SELECT coalesce(json_agg(known_thing), '[]') FROM (
        SELECT id, agent_id, name, key, also, also_keys
        FROM memory_thing
        WHERE user_id = %(user_id)s
        ORDER BY (key = 'self') DESC, updated_at DESC, id
        LIMIT {most}
    ) AS known_thing),
    'relations', (SELECT coalesce(json_agg(known_relation), '[]') FROM (
        SELECT subject, relation, object, valid_to
        FROM memory_relation
        WHERE user_id = %(user_id)s
        ORDER BY created_at DESC, id
        LIMIT {most}
    ) AS known_relation)
)
