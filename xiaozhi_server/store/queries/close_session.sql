UPDATE session
SET closed_at = %(closed_at)s, close_reason = %(reason)s
WHERE owner_id = %(owner_id)s AND id = %(session_id)s
