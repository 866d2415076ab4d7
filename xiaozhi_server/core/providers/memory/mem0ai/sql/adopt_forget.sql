DELETE FROM {table} WHERE payload ->> 'user_id' = %(user_id)s
