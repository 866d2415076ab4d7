-- These entries are memories now, through one request for each of these names; nothing else that was sent of them counts.
UPDATE memory_platform_doubt AS doubt
SET decided = true, kept = worked.attempt, since = now(), look_at = now()
FROM memory_platform_doubt AS same
LEFT JOIN unnest(%(send_ids)s::text[], %(attempts)s::text[]) AS worked (send_id, attempt)
       ON worked.send_id = same.send_id
WHERE same.user_id = %(user_id)s AND same.keys && %(keys)s::text[] AND NOT same.decided
  AND doubt.user_id = same.user_id AND doubt.send_id = same.send_id
