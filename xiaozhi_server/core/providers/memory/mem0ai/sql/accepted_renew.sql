UPDATE memory_accepted AS write
SET due_at = now() + make_interval(secs => %(lease_s)s)
FROM unnest(%(owners)s::text[], %(ids)s::uuid[], %(attempts)s::integer[]) AS ours (user_id, id, attempts)
WHERE write.user_id = ours.user_id AND write.id = ours.id AND write.attempts = ours.attempts AND write.state = 'waiting'
