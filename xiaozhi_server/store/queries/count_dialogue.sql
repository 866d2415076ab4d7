SELECT (SELECT count(*) FROM message WHERE owner_id = %(owner_id)s OR person_owner = %(owner_id)s) AS message,
       (SELECT count(*) FROM person WHERE owner_id = %(owner_id)s) AS person,
       (SELECT count(*) FROM session WHERE owner_id = %(owner_id)s) AS session,
       (SELECT count(*) FROM turn_trace WHERE owner_id = %(owner_id)s) AS turn_trace
