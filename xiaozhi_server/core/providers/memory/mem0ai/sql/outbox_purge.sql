DELETE FROM memory_outbox WHERE state = 'done' AND done_at < now() - make_interval(secs => %(keep_s)s)
