SELECT id FROM memory_adopted WHERE id = ANY (%(ids)s::uuid[])
