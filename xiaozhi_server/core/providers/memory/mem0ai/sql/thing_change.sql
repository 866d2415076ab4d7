UPDATE memory_thing
SET name = %(name)s, kind = %(kind)s, key = %(key)s, also = %(also)s, also_keys = %(also_keys)s, updated_at = now()
WHERE user_id = %(user_id)s AND id = %(id)s
