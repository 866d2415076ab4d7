INSERT INTO memory_run (day, step, started_at)
VALUES (%(day)s, %(step)s, %(at)s)
ON CONFLICT (day, step) DO UPDATE
SET started_at = excluded.started_at, attempts = memory_run.attempts + 1, ended_at = NULL, error = NULL
