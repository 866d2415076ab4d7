-- Those of the rows that nobody has brought over before. In their order, so that two who do it at once wait for each
-- other and not in a circle.
INSERT INTO memory_adopted (id)
SELECT id FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS wanted (id, place) ORDER BY place
ON CONFLICT (id) DO NOTHING
RETURNING id
