"""The rows of one owner as columns, small enough to keep many owners at hand. A `StoredMemory` is made on demand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from ..recall.named import speaker_number
from ..recall.rank import Held
from ..records import StoredMemory

Id = tuple[int, int]  # the two halves of a UUID

# PostgreSQL counts microseconds from here.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_S = _EPOCH.timestamp()
_MICROSECOND = timedelta(microseconds=1)

EPISODIC = "episodic"  # the subtype of what happened once

# What `read` takes, in this order: one array for each column, since one large value travels faster than many small
# ones. Numbers and ids come as PostgreSQL keeps them and become one array at once; what no row has is not sent.
COLUMNS = """
       array_agg(entry.agent_id), array_agg(entry.run_id), array_agg(entry.session_id), array_agg(entry.role),
       array_agg(entry.speaker), array_agg(entry.subtype), array_agg(entry.flag),
       CASE WHEN count(entry.metadata) > 0 THEN array_agg(entry.metadata) END,
       CASE WHEN count(entry.valid_from) > 0 THEN array_agg(entry.valid_from) END,
       CASE WHEN count(entry.valid_to) > 0 THEN array_agg(entry.valid_to) END,
       CASE WHEN count(entry.superseded_by) > 0 THEN array_agg(entry.superseded_by) END,
       CASE WHEN count(entry.expires_at) > 0 THEN array_agg(entry.expires_at) END,
       CASE WHEN count(entry.accessed_at) > 0 THEN array_agg(entry.accessed_at) END,
       CASE WHEN max(entry.access_count) > 0 THEN array_agg(entry.access_count) END,
       CASE WHEN bool_or(entry.pinned) THEN array_agg(entry.pinned) END,
       CASE WHEN count(entry.quality) > 0 THEN array_agg(entry.quality) END,
       CASE WHEN count(entry.compressed_into) > 0 THEN array_agg(entry.compressed_into) END,
       array_agg(entry.text), string_agg(int4send(entry.position), ''), string_agg(uuid_send(entry.id), ''),
       string_agg(timestamptz_send(entry.created_at), ''), string_agg(timestamptz_send(entry.updated_at), '')"""
_ABOUT = slice(0, 7)
_LIFE = slice(7, 17)
_REST = slice(17, 22)
_IDS = 19
WIDTH = 22


class _About(NamedTuple):
    """Shared by all rows with the same values: a session has very few different ones."""

    agent_id: str
    run_id: str
    session_id: str
    role: str
    speaker: str | None
    subtype: str
    flag: str
    owner: str = ""  # where it is another one than that of all rows


class _Life(NamedTuple):
    """What most rows do not have; those share one."""

    metadata: Mapping[str, Any] | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    superseded_by: UUID | None = None
    expires_at: datetime | None = None
    accessed_at: datetime | None = None
    access_count: int = 0
    pinned: bool = False
    quality: float | None = None
    compressed_into: UUID | None = None

    @property
    def ends_at_s(self) -> float:
        """When it is not to be recalled any more."""
        if self.superseded_by is not None or self.compressed_into is not None:
            return -np.inf
        return min((end.timestamp() for end in (self.valid_to, self.expires_at) if end is not None), default=np.inf)


_PLAIN_LIFE = _Life()


@dataclass(frozen=True, slots=True)
class OwnerRows:
    """n rows. `times` are created and updated, `ids` the two halves of the UUIDs."""

    user_id: str
    about: list[_About]
    life: list[_Life]
    texts: list[str]
    positions: npt.NDArray[np.int32]
    ids: npt.NDArray[np.uint64]
    times: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def said_at_s(self) -> npt.NDArray[np.float64]:
        """The newer of created and updated."""
        said: npt.NDArray[np.float64] = self.times.max(axis=1) / 1e6 + _EPOCH_S
        return said

    @property
    def ends_at_s(self) -> npt.NDArray[np.float64]:
        plain = np.inf
        return np.array([plain if life is _PLAIN_LIFE else life.ends_at_s for life in self.life], np.float64)

    def held(self) -> Held | None:
        """When each row was true, in seconds; None where all are plainly as of when they were said.

        The same is said in SQL by HELD_FROM and HELD_TO (extent.py).
        """
        dated = [row for row, life in enumerate(self.life) if life.valid_from is not None or life.valid_to is not None]
        if not dated:
            return None
        since, until = self.said_at_s, self.said_at_s
        for row in dated:
            valid_from, valid_to = self.life[row].valid_from, self.life[row].valid_to
            since[row] = self.times[row, 0] / 1e6 + _EPOCH_S if valid_from is None else valid_from.timestamp()
            if valid_to is not None:
                until[row] = valid_to.timestamp()
            else:
                until[row] = since[row] if self.about[row].subtype == EPISODIC else np.inf
        return since, until

    @property
    def size_bytes(self) -> int:
        """About how much memory they take."""
        arrays = self.positions.nbytes + self.ids.nbytes + self.times.nbytes
        texts = sum(map(len, self.texts)) + 60 * len(self)
        return arrays + texts + 24 * len(self) + 200 * len(set(map(id, self.about)) | set(map(id, self.life)))

    def sessions(self) -> npt.NDArray[np.int32]:
        """An ordinal for each session, -1 where a row belongs to none."""
        ordinals: dict[tuple[str, str], int] = {}
        found = [
            ordinals.setdefault((about.owner, about.session_id), len(ordinals)) if about.session_id else -1
            for about in self.about
        ]
        return np.array(found, np.int32)

    def scopes(self) -> tuple[tuple[tuple[str, str], ...], npt.NDArray[np.int32]]:
        """Every agent and run that there is, and which of them each row belongs to."""
        ordinals: dict[tuple[str, str], int] = {}
        found = [ordinals.setdefault((about.agent_id, about.run_id), len(ordinals)) for about in self.about]
        return tuple(ordinals), np.array(found, np.int32)

    def speakers(self) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
        """Everybody who speaks, and the number of each row's speaker."""
        numbers = {speaker: speaker_number(speaker) for speaker in {about.speaker for about in self.about}}
        found = [numbers[about.speaker] for about in self.about]
        return tuple(sorted(speaker for speaker in numbers if speaker)), np.array(found, np.int32)

    def take(self, order: npt.NDArray[np.intp]) -> "OwnerRows":
        picked = order.tolist()
        return OwnerRows(
            self.user_id,
            [self.about[row] for row in picked],
            [self.life[row] for row in picked],
            [self.texts[row] for row in picked],
            self.positions[order],
            self.ids[order],
            self.times[order],
        )

    def id_list(self) -> list[Id]:
        return [(high, low) for high, low in self.ids.tolist()]

    def memories(self, rows: npt.NDArray[np.intp]) -> list[StoredMemory]:
        picked = zip(rows.tolist(), self.ids[rows].tolist(), self.times[rows].tolist(), strict=True)
        return [self._memory(row, id, times) for row, id, times in picked]

    def _memory(self, row: int, id: Sequence[int], times: Sequence[int]) -> StoredMemory:
        about, life = self.about[row], self.life[row]
        created, updated = times
        created_at = _EPOCH + timedelta(microseconds=created)
        return StoredMemory(
            UUID(int=id[0] << 64 | id[1]),
            about.owner or self.user_id,
            about.agent_id,
            about.run_id,
            about.session_id,
            about.role,
            about.speaker,
            self.texts[row],
            life.metadata,
            created_at,
            created_at if updated == created else _EPOCH + timedelta(microseconds=updated),
            about.subtype,
            about.flag,
            int(self.positions[row]),
            life.valid_from,
            life.valid_to,
            life.superseded_by,
            life.expires_at,
            life.accessed_at,
            life.access_count,
            life.pinned,
            life.quality,
            life.compressed_into,
        )


def joined(parts: Sequence[OwnerRows]) -> OwnerRows:
    """Rows of the same owner, one part behind the other."""
    return OwnerRows(
        parts[0].user_id,
        [about for part in parts for about in part.about],
        [life for part in parts for life in part.life],
        [text for part in parts for text in part.texts],
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.times for part in parts]),
    )


def sent_ids(columns: Sequence[Any]) -> bytes:
    """The ids of what a statement found, 16 bytes each."""
    return columns[_IDS] or b""


def ids_in(sent: bytes | None) -> list[Id]:
    pairs: list[list[int]] = np.frombuffer(sent or b"", ">u8").reshape(-1, 2).tolist()
    return [(high, low) for high, low in pairs]


def read(user_id: str, columns: Sequence[Any], owners: Sequence[str] | None = None) -> OwnerRows:
    """What a statement found for COLUMNS. `owners` are those of the rows where they are not all this one's."""
    texts, positions, ids, created, updated = columns[_REST]
    if texts is None:  # no row at all
        return from_memories(user_id, ())
    known: dict[tuple[Any, ...], _About] = {}
    told = columns[_ABOUT] if owners is None else (*columns[_ABOUT], owners)
    return OwnerRows(
        user_id,
        [_shared(known, values) for values in zip(*told, strict=True)],
        _lives(columns[_LIFE], len(texts)),
        texts,
        np.frombuffer(positions, ">i4").astype(np.int32),
        np.frombuffer(ids, ">u8").reshape(-1, 2).astype(np.uint64),
        np.stack((np.frombuffer(created, ">i8"), np.frombuffer(updated, ">i8")), axis=1).astype(np.int64),
    )


def from_memories(user_id: str, memories: Sequence[StoredMemory]) -> OwnerRows:
    times = [(_microseconds(one.created_at), _microseconds(one.updated_at)) for one in memories]
    return OwnerRows(
        user_id,
        [_about(one, user_id) for one in memories],
        [_PLAIN_LIFE if one.metadata is None else _Life(one.metadata) for one in memories],
        [one.text for one in memories],
        np.array([one.position for one in memories], np.int32),
        np.frombuffer(b"".join(one.id.bytes for one in memories), ">u8").reshape(-1, 2).astype(np.uint64),
        np.array(times, np.int64).reshape(-1, 2),
    )


def _about(one: StoredMemory, user_id: str) -> _About:
    owner = "" if one.user_id == user_id else one.user_id
    return _About(one.agent_id, one.run_id, one.session_id, one.role, one.speaker, one.subtype, one.flag, owner)


def _shared(known: dict[tuple[Any, ...], _About], values: tuple[Any, ...]) -> _About:
    found = known.get(values)
    if found is None:
        found = known[values] = _About(*values)
    return found


def _lives(columns: Sequence[list[Any] | None], size: int) -> list[_Life]:
    if all(column is None for column in columns):
        return [_PLAIN_LIFE] * size
    filled = [
        [nothing] * size if column is None else column for column, nothing in zip(columns, _PLAIN_LIFE, strict=True)
    ]
    return [_PLAIN_LIFE if values == _PLAIN_LIFE else _Life(*values) for values in zip(*filled, strict=True)]


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
