-- From this moment on, at which nobody writes.
INSERT INTO forgotten_owner (owner, forgotten_at)
VALUES (sha256(convert_to(%(owner_id)s::text, 'UTF8')), clock_timestamp())
ON CONFLICT (owner) DO UPDATE SET forgotten_at = excluded.forgotten_at
