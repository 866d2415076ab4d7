-- Of the relations that two things have between them and to others: those that would be double if the two were one, and
-- those of the one to itself. What still holds is rather kept.
WITH merged AS (
    SELECT id, CASE subject WHEN %(id)s THEN %(into)s ELSE subject END AS subject, relation,
           CASE object WHEN %(id)s THEN %(into)s ELSE object END AS object, valid_to, created_at
    FROM memory_relation
    WHERE user_id = %(user_id)s
      AND (subject IN (%(id)s, %(into)s) OR object IN (%(id)s, %(into)s))
), placed AS (
    SELECT id, subject, object, row_number() OVER (
        PARTITION BY subject, relation, object ORDER BY (valid_to IS NULL) DESC, created_at, id
    ) AS place
    FROM merged
)
DELETE FROM memory_relation AS relation
USING placed
WHERE relation.user_id = %(user_id)s AND relation.id = placed.id AND (placed.place > 1 OR placed.subject = placed.object)
