-- Its links and relations go with it, the memories stay.
DELETE FROM memory_thing WHERE user_id = %(user_id)s AND id = %(id)s
