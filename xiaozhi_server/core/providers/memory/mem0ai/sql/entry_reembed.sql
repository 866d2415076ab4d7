-- Only if the text is still the one that was embedded: a correction meanwhile brought its own vector.
UPDATE memory_entry
SET embedder = %(embedder)s, embedding = %(embedding)s::halfvec
WHERE user_id = %(user_id)s AND id = %(id)s AND text = %(text)s
