DELETE FROM memory_platform_doubt WHERE decided AND since < now() - make_interval(secs => %(doubt_s)s)
