SELECT id
FROM memory_entry
WHERE {mine} AND id = ANY (%(ids)s)
