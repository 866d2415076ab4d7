-- Those of a group that may still be summarised, with their texts. Nobody changes them until our transaction ends.
SELECT id, text
FROM memory_entry AS entry
WHERE user_id = %(user_id)s AND id = ANY (%(ids)s) AND NOT pinned AND expires_at IS NULL AND {lives}
FOR UPDATE
