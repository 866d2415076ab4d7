"""From the settings of mem0's pgvector store to connections of ours: where the database is, and how many are held."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from . import constants
from .credentials import VECTOR_STORE
from .errors import CredentialsError
from .parameters import number_of

Config = Mapping[str, Any]
Pool = AsyncConnectionPool[Any]

# An idle connection that a firewall drops is noticed, and one to nowhere ends soon.
_ALIVE = {
    "connect_timeout": constants.PGVECTOR_CONNECT_TIMEOUT,
    "keepalives": 1,
    "keepalives_idle": constants.PGVECTOR_KEEPALIVES_IDLE,
    "keepalives_interval": constants.PGVECTOR_KEEPALIVES_INTERVAL,
    "keepalives_count": constants.PGVECTOR_KEEPALIVES_COUNT,
}


@dataclass(frozen=True, slots=True)
class PoolRules:
    """`waiting`: how many may wait for a connection; 0 is any number."""

    least: int
    most: int
    waiting: int
    lifetime_s: float
    idle_s: float
    timeout_s: float
    reconnect_s: float
    checks: bool


def address_of(config: Config) -> str:
    """As libpq reads it: from `connection_string`, else from its parts."""
    if config.get("connection_pool") is not None:
        raise CredentialsError(
            f"{VECTOR_STORE}: connection_pool is an object of a program and cannot be text: give a connection_string"
        )
    told = _whole(config) if config.get("connection_string") else _parts(config)
    if sslmode := config.get("sslmode"):
        told.setdefault("sslmode", sslmode)
    try:
        return make_conninfo(**{**_ALIVE, **told})
    except (ProgrammingError, TypeError):
        raise CredentialsError(f"{VECTOR_STORE}: the database's address is none that PostgreSQL knows") from None


def rules_of(config: Config, *, operations: int) -> PoolRules:
    """Those that are set; else at most 10 connections, and none kept that are not needed."""
    most = _count(config, "maxconn", constants.PGVECTOR_MAX_CONNECTIONS, least=1)
    least = _count(config, "minconn", constants.PGVECTOR_MIN_CONNECTIONS, least=0)
    # Whoever is let in by the bound on operations may also wait for a connection.
    room = max(most * (constants.PENDING_TASKS_MULTIPLIER - 1), operations * constants.PENDING_TASKS_MULTIPLIER)
    return PoolRules(
        least=min(least, most),
        most=most,
        waiting=_count(config, "pool_max_waiting", room, least=0),
        lifetime_s=_seconds(config, "pool_max_lifetime", constants.PGVECTOR_POOL_MAX_LIFETIME),
        idle_s=_seconds(config, "pool_max_idle", constants.PGVECTOR_POOL_MAX_IDLE),
        timeout_s=_seconds(config, "pool_timeout", constants.PGVECTOR_POOL_TIMEOUT),
        reconnect_s=_seconds(config, "pool_reconnect_timeout", constants.PGVECTOR_POOL_RECONNECT_TIMEOUT),
        checks=config.get("pool_check") is not False,
    )


def pool_of(address: str, rules: PoolRules) -> Pool:
    """Not open yet."""
    return AsyncConnectionPool(
        address,
        min_size=rules.least,
        max_size=rules.most,
        max_waiting=rules.waiting,
        max_lifetime=rules.lifetime_s,
        max_idle=rules.idle_s,
        timeout=rules.timeout_s,
        reconnect_timeout=rules.reconnect_s,
        check=AsyncConnectionPool.check_connection if rules.checks else None,
        name="mem0-plugin",
        open=False,
    )


def _whole(config: Config) -> dict[str, Any]:
    address = config["connection_string"]
    try:
        # SQLAlchemy's form of it is in many examples.
        told = conninfo_to_dict(str(address).replace("postgresql+psycopg://", "postgresql://", 1))
    except ProgrammingError:
        raise CredentialsError(f"{VECTOR_STORE}: connection_string is no address of a PostgreSQL") from None
    return dict(told)


def _parts(config: Config) -> dict[str, Any]:
    missing = [name for name in ("user", "password") if not config.get(name)]
    if missing:
        raise CredentialsError(f"{VECTOR_STORE}: pgvector needs {' and '.join(missing)}, or a connection_string")
    port = number_of(config.get("port", 5432))
    if port is None or not 1 <= port <= 65535:
        raise CredentialsError(f"{VECTOR_STORE}: port is no number of a port")
    return {
        "user": config["user"],
        "password": config["password"],
        "host": config.get("host") or "localhost",
        "port": int(port),
        "dbname": config.get("dbname") or "postgres",
    }


def _count(config: Config, name: str, default: int, *, least: int) -> int:
    number = number_of(config.get(name))
    return default if number is None or number < least else min(int(number), 1000)


def _seconds(config: Config, name: str, default: float) -> float:
    number = number_of(config.get(name))
    return default if number is None or number <= 0 else number
