DELETE FROM memory_run WHERE day < %(before)s
