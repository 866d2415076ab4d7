INSERT INTO memory_history (user_id, memory_id, event, old_text, new_text, role, speaker, created_at)
VALUES (%(user_id)s, %(id)s, %(event)s, %(old_text)s, %(new_text)s, %(role)s, %(speaker)s, %(created_at)s)
