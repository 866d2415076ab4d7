SELECT day, step, attempts, started_at, ended_at, error, counts
FROM memory_run
WHERE day >= coalesce(%(since)s::date, (SELECT max(day) FROM memory_run))
ORDER BY day, started_at, step
