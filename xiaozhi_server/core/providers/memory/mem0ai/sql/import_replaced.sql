-- A text that is about to be replaced goes into the history, unless it is told there already how the new one came.
INSERT INTO memory_history (user_id, memory_id, event, old_text, new_text, role, speaker, created_at, happened_at)
SELECT present.user_id, present.id, 'UPDATE', present.text, line.text, present.role, present.speaker, present.created_at,
       line.updated_at
FROM memory_import AS line
JOIN memory_entry AS present ON present.user_id = line.user_id AND present.id = line.id
WHERE present.updated_at < line.updated_at
  AND present.text <> line.text
  AND NOT EXISTS (
      SELECT FROM memory_history AS told
      WHERE told.user_id = line.user_id AND told.memory_id = line.id AND told.new_text = line.text
  )
