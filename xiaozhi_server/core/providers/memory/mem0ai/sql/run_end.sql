UPDATE memory_run
SET ended_at = %(at)s, counts = %(counts)s, error = %(error)s
WHERE day = %(day)s AND step = %(step)s
