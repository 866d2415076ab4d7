"""The arrays behind an owner's memories at hand: words, vectors, and what becomes of them when parts are joined."""

import random
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from xiaozhi_server.core.providers.memory.mem0ai import StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.finding import owner_index, token_index
from xiaozhi_server.core.providers.memory.mem0ai.finding.gaps import apart, links_of
from xiaozhi_server.core.providers.memory.mem0ai.finding.owner_index import OwnerIndex
from xiaozhi_server.core.providers.memory.mem0ai.finding.token_index import TokenIndex
from xiaozhi_server.core.providers.memory.mem0ai.rows import halfvec

THEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOBODY = (0, 0)


def indexed(rows: Sequence[Sequence[int]]) -> TokenIndex:
    tokens = np.array([token for row in rows for token in row], np.int32)
    return token_index.index_of(len(rows), tokens, np.repeat(np.arange(len(rows)), [len(row) for row in rows]))


def as_dict(index: TokenIndex, tokens: Sequence[int]) -> dict[tuple[int, int], int]:
    hits = index.hits(tokens)
    places = zip(hits.slots.tolist(), hits.rows.tolist(), hits.counts.tolist(), strict=True)
    return {(tokens[slot], row): count for slot, row, count in places}


def counted(rows: Sequence[Sequence[int]], tokens: Sequence[int]) -> dict[tuple[int, int], int]:
    return {
        (token, number): count
        for number, row in enumerate(rows)
        for token, count in Counter(row).items()
        if token in tokens
    }


def drawn(dice: random.Random, rows: int) -> list[list[int]]:
    vocabulary = [-(2**31), 2**31 - 1, -1, 0, 1, *(dice.randrange(-(2**31), 2**31) for _ in range(20))]
    return [dice.choices(vocabulary, k=dice.randrange(12)) for _ in range(rows)]


@pytest.mark.parametrize("seed", range(5))
def test_words_are_found_where_they_stand(seed: int) -> None:
    dice = random.Random(seed)
    rows, more = drawn(dice, 40), drawn(dice, 9)
    asked = [*{token for row in rows[:4] for token in row}, 12345]
    index = indexed(rows)
    assert as_dict(index, asked) == counted(rows, asked)
    assert index.distinct().tolist() == [len(set(row)) for row in rows]
    both = token_index.joined([index, indexed(more)])
    assert as_dict(both, asked) == counted(rows + more, asked)
    order = np.array(dice.sample(range(49), 30))
    assert as_dict(both.take(order), asked) == counted([(rows + more)[row] for row in order], asked)


@pytest.mark.parametrize("rows", [[], [[]], [[], []]])
def test_no_words_are_found_nowhere(rows: list[list[int]]) -> None:
    index = indexed(rows)
    assert as_dict(index, [1, 2]) == {}
    assert as_dict(index, []) == {}
    assert index.distinct().tolist() == [0] * len(rows)


def test_arrays_are_read_in_postgresqls_form() -> None:
    arrays = [[7, -7], [], [2**31 - 1], []]
    sent = b"".join(
        struct.pack(">5i", 1, 0, 23, len(array), 1) + b"".join(struct.pack(">ii", 4, value) for value in array)
        if array
        else struct.pack(">3i", 0, 0, 23)
        for array in arrays
    )
    lengths = np.array([len(array) for array in arrays], np.int32)
    assert token_index.flat_words(sent, lengths).tolist() == [7, -7, 2**31 - 1]


def test_halves_are_multiplied_as_numbers() -> None:
    dice = np.random.default_rng(1)
    vectors = dice.standard_normal((600, 33)).astype(np.float16)
    vectors[3] = 0
    vectors[4, :5] = (65504, -65504, 6e-8, -6e-8, -0.0)  # the largest and the smallest there are
    asked = dice.standard_normal(33).astype(np.float32)
    halves = halfvec.halves_of(b"".join(halfvec.HalfVector(row).binary for row in vectors.astype(np.float32)), 33)
    assert np.allclose(halfvec.dot(halves, asked), vectors.astype(np.float32) @ asked, rtol=1e-5, atol=1e-5)
    norms = np.linalg.norm(vectors.astype(np.float32), axis=1)
    inverse = halfvec.inverse_norms(halves)
    assert np.isnan(inverse[3])
    assert np.allclose(np.delete(inverse * norms, 3), 1, rtol=1e-4)
    assert not halfvec.halves_of(halfvec.no_vector(33), 33).any()


def memory(number: int, session: str = "s", seconds: int | None = None, position: int = 0) -> StoredMemory:
    said_at = THEN + timedelta(seconds=number if seconds is None else seconds)
    return StoredMemory(
        UUID(int=number), "ann", "bot", "", session, "user", "Ann", f"text {number}", None, said_at, said_at,
        position=position,
    )  # fmt: skip


def index_of(*memories: StoredMemory) -> OwnerIndex:
    return owner_index.waiting("ann", memories, [[number] for number, _ in enumerate(memories)], 4)


def saved(index: OwnerIndex, rows: int | None = None) -> OwnerIndex:
    """The first rows of it, or all, are saved."""
    return replace(index, saved=np.arange(len(index)) < (len(index) if rows is None else rows))


def test_rows_stand_as_they_were_said() -> None:
    """By session, time, position, id; those without a session first."""
    rows = [memory(9, "b", 5), memory(8, "a", 7), memory(7, "", 9)]
    rows += [memory(6, "a", 3, 1), memory(5, "a", 3), memory(4, "b", 5)]
    index = index_of(*rows)
    assert index.rows.memories(np.arange(6)) == [rows[at] for at in (2, 5, 0, 4, 3, 1)]
    assert index.features.session[0] == -1
    assert index.features.session.tolist() == sorted(index.features.session.tolist())
    assert as_dict(index.tokens, [0, 1, 2, 3, 4, 5]) == {
        (token, place): 1 for place, token in enumerate((2, 5, 0, 4, 3, 1))
    }


def test_what_changed_takes_the_place_of_what_was() -> None:
    old = saved(index_of(memory(1), memory(2), memory(3)))
    changed = index_of(memory(2, seconds=50), memory(3), memory(4))
    updated = old.updated(changed, {(0, 3)}, THEN.timestamp())
    assert sorted(updated.rows.texts) == ["text 1", "text 2", "text 4"]
    assert updated.rows.texts[-1] == "text 2"


def test_neighbours_are_those_with_nothing_between_them() -> None:
    """1 2 . 4 5 of a session are here, and 3 is not; 2 and 5 know their neighbours."""
    index = saved(index_of(memory(1), memory(2), memory(4), memory(5), memory(9, "other")))
    ids = index.rows.id_list()
    linked = [id in ((0, 2), (0, 5)) for id in ids]
    befores = [{(0, 2): (0, 1), (0, 5): (0, 4)}.get(id, NOBODY) for id in ids]
    afters = [{(0, 2): (0, 3)}.get(id, NOBODY) for id in ids]
    links = links_of(ids, linked, befores, afters)
    assert apart(index, links).tolist() == [False, True, False, False, False]


def test_what_waits_moves_nothing_apart() -> None:
    index = saved(index_of(memory(1), memory(2), memory(3), memory(5, "new"), memory(6, "new")), rows=2)
    links = links_of([(0, 1), (0, 2)], [True, True], [NOBODY, (0, 1)], [(0, 2), NOBODY])
    assert not apart(index, links).any()
    unknown = links_of([(0, 1), (0, 2)], [False, False], [NOBODY] * 2, [NOBODY] * 2)
    assert apart(index, unknown).tolist() == [True, True, False, False, False]
