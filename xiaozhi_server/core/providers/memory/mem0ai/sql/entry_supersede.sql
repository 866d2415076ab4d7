-- Another memory takes the place of this one, if it is still what it was. It stays, with its end and a line in the history,
-- and what it told of people ends with it.
WITH closed AS (
    UPDATE memory_entry
    SET valid_to = %(valid_to)s, superseded_by = %(by)s
    WHERE user_id = %(user_id)s AND id = %(id)s AND agent_id = %(agent_id)s AND text = %(text)s AND id <> %(by)s
      AND superseded_by IS NULL AND compressed_into IS NULL
      AND EXISTS (SELECT FROM memory_entry AS new WHERE new.user_id = %(user_id)s AND new.id = %(by)s)
    RETURNING user_id, id, text, role, speaker, created_at
), ended AS (
    UPDATE memory_relation AS relation
    SET valid_to = %(valid_to)s
    FROM closed
    WHERE relation.user_id = closed.user_id AND relation.memory_id = closed.id AND relation.valid_to IS NULL
)
INSERT INTO memory_history (user_id, memory_id, event, old_text, new_text, role, speaker, created_at)
SELECT user_id, id, 'SUPERSEDE', text, %(new_text)s, role, speaker, created_at FROM closed
