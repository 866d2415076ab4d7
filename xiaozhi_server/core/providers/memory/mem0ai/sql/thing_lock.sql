-- Nobody else changes them until our transaction ends; in an order in which nobody waits for each other in a circle.
SELECT id FROM memory_thing WHERE user_id = %(user_id)s AND id = ANY (%(ids)s) ORDER BY id FOR UPDATE
