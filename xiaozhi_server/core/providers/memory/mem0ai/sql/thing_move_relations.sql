-- Under new ids: the old ones say who stands in them.
UPDATE memory_relation
SET id = gen_random_uuid(),
    subject = CASE subject WHEN %(id)s THEN %(into)s ELSE subject END,
    object = CASE object WHEN %(id)s THEN %(into)s ELSE object END
WHERE user_id = %(user_id)s AND (subject = %(id)s OR object = %(id)s)
