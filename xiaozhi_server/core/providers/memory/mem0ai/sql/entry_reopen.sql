-- Before memories are deleted by hand: what one of them had replaced holds again, unless another one that stays had taken
-- its place in turn. {which} names them, as in entry_delete.sql.
WITH RECURSIVE named AS (
    SELECT id, superseded_by
    FROM memory_entry
    WHERE user_id = %(user_id)s
      AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s)
      AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
      AND {which}
), heir AS (
    SELECT id, superseded_by FROM named
    UNION
    SELECT heir.id, named.superseded_by FROM heir JOIN named ON named.id = heir.superseded_by
), freed AS (
    UPDATE memory_entry AS old
    SET superseded_by = heir.superseded_by,
        valid_to = CASE WHEN heir.superseded_by IS NOT NULL THEN old.valid_to END
    FROM heir
    WHERE old.user_id = %(user_id)s AND old.superseded_by = heir.id
      AND NOT EXISTS (SELECT FROM named WHERE named.id = heir.superseded_by)
      AND NOT EXISTS (SELECT FROM named WHERE named.id = old.id)
    RETURNING old.user_id, old.id, old.text, old.role, old.speaker, old.created_at, old.superseded_by
), begun AS (
    UPDATE memory_relation AS relation
    SET valid_to = NULL
    FROM freed
    WHERE relation.user_id = freed.user_id AND relation.memory_id = freed.id AND freed.superseded_by IS NULL
)
INSERT INTO memory_history (user_id, memory_id, event, old_text, new_text, role, speaker, created_at)
SELECT user_id, id, 'RESTORE', text, text, role, speaker, created_at FROM freed WHERE superseded_by IS NULL
