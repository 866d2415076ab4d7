"""Each connection is an open file, and many systems let a process have 1024 or fewer until it asks for more."""

import contextlib

# The first is enough for any machine; the second is as far as macOS goes.
WANTED = (65_536, 10_240)


def allow_many_open_files() -> int | None:
    """As many as this process may ask for. The answer is what it has now; None: the system has no such limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    for wanted in WANTED:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        goal = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < goal:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
