DELETE FROM memory_platform WHERE user_id = %(user_id)s AND key = ANY (%(keys)s)
