UPDATE memory_thing
SET kind = %(kind)s, also = %(also)s, also_keys = %(also_keys)s, updated_at = greatest(updated_at, %(said_at)s)
WHERE user_id = %(user_id)s AND id = %(id)s
