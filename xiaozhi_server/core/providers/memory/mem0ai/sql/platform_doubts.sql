-- An owner's requests of which nobody knows, or knew, what becomes of them.
SELECT send_id, keys, decided, kept FROM memory_platform_doubt WHERE user_id = %(user_id)s
