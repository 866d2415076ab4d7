-- After the memories are gone: nobody counts a reading of theirs any more (see audit_read.sql).
WITH revoked AS (
    DELETE FROM memory_share WHERE user_id = %(user_id)s
)
DELETE FROM memory_audit WHERE user_id = %(user_id)s
