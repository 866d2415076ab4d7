"""Files of memories, read without a database: whatever stands in them, each line becomes something or gets a reason."""

import base64
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.transfer import mem0_file, notes_file, ours
from xiaozhi_server.core.providers.memory.mem0ai.transfer.errors import TransferError
from xiaozhi_server.core.providers.memory.mem0ai.transfer.fields import LineError
from xiaozhi_server.core.providers.memory.mem0ai.transfer.importing import ImportOptions
from xiaozhi_server.core.providers.memory.mem0ai.transfer.items import Item, MemoryItem, Notice
from xiaozhi_server.core.providers.memory.mem0ai.transfer.lines import LONGEST_LINE, Rewound, json_lines
from xiaozhi_server.core.providers.memory.mem0ai.transfer.notes_file import facts_of
from xiaozhi_server.core.providers.memory.mem0ai.transfer.ours import Model, Reading
from xiaozhi_server.core.providers.memory.mem0ai.transfer.recognised import begun, recognised

NOW = datetime(2026, 2, 1, tzinfo=UTC)
READING = Reading(lambda named: named or "ann", Model("words", 4), NOW)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KINDS = ("memory", "history", "thing", "link", "relation", "summary", "unsaved", "header", "end", "else")
NAMES = (
    "user_id", "id", "agent_id", "text", "created_at", "updated_at", "metadata", "vector", "position", "quality",
    "pinned", "memory_id", "thing_id", "event", "old_text", "new_text", "messages", "images", "key", "name", "also",
)  # fmt: skip


def read(content: bytes) -> list[Item]:
    return list(ours.read(io.BytesIO(content), READING))


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=12), max_size=4), st.sampled_from(KINDS))
def test_no_line_of_ours_breaks_the_reader(values: list[dict[str, Any]], kind: str) -> None:
    content = b"".join(json.dumps({**one, "kind": kind}).encode() + b"\n" for one in values)
    for item in read(content):
        assert isinstance(item, Notice | MemoryItem) or item.number


@given(JSON)
def test_no_json_breaks_the_reader_of_mem0s(value: Any) -> None:
    content = json.dumps(value, allow_nan=False, default=str).encode() if _is_json(value) else b"[]"
    try:
        items = list(mem0_file.read_whole(io.BytesIO(content), READING, NOW))
    except TransferError:
        return
    assert all(isinstance(item, Notice | MemoryItem) for item in items)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@given(st.dictionaries(st.text(max_size=20), JSON, max_size=4) | JSON)
def test_no_yaml_breaks_the_reader_of_notes(value: Any) -> None:
    content = yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "replace")
    try:
        list(notes_file.read_map(io.BytesIO(content), READING, NOW))
    except TransferError as refusal:
        assert "this YAML" in str(refusal) or "no YAML" in str(refusal)


@given(st.binary(max_size=300))
def test_every_beginning_is_known_or_refused(head: bytes) -> None:
    try:
        assert recognised(head) in ("ours", "mem0", "mem0-lines", "memory-yaml", "summary")
    except TransferError as refusal:
        assert "this file" in str(refusal)


@given(st.binary(max_size=400), st.integers(0, 400), st.integers(1, 50))
def test_a_stream_that_was_looked_into_is_whole(content: bytes, seen: int, part: int) -> None:
    file = io.BytesIO(content)
    again = io.BufferedReader(Rewound(file.read(seen), file), buffer_size=part)
    assert b"".join(iter(lambda: again.read(part), b"")) == content


def test_a_line_is_read_only_as_far_as_it_may_be_long() -> None:
    lines = list(json_lines(io.BytesIO(b"x" * 5 * LONGEST_LINE + b'\n{"a": 1}\n\n[]')))
    assert [(line.number, line.reason) for line in lines] == [
        (1, "is longer than 1000000 bytes"),
        (2, ""),
        (4, "is no JSON object"),
    ]
    assert lines[1].value == {"a": 1}
    assert next(json_lines(io.BytesIO(b'{"a": NaN}'))).reason == "is no JSON"
    assert next(json_lines(io.BytesIO(b'\xef\xbb\xbf{"a": 1}'))).value == {"a": 1}


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ('{"kind":"header","format":"xiaozhi-memory","version":1}\n', "ours"),
        ('{"id": "1", "memory": "x", "user_id": "a"}\n{"id": "2", "memory": "y"}', "mem0-lines"),
        ('{"count": 1, "results": [{"memory": "x"}]}', "mem0"),
        ('[\n {"memory": "x"}\n]', "mem0"),
        ("[]", "mem0"),
        ("aa:bb:cc:dd:ee:ff: likes tea\n", "memory-yaml"),
        ("'11:22:33:44:55:06': |-\n  {}\n", "memory-yaml"),
        ("Anna: likes tea\n", "summary"),
        ("Likes tea.", "summary"),
        ("[2026-01-31] likes tea", "summary"),
        ('{"时空档案": {"身份图谱": {}}}', "summary"),
        ("```json\n{}\n```", "summary"),
    ],
)
def test_a_form_is_told_by_its_beginning(content: str, form: str) -> None:
    for prefix in ("", "\n", "\ufeff"):
        head, whole = begun(io.BytesIO((prefix + content).encode()))
        assert recognised(head) == form
        assert whole.read() == head


def test_vectors_go_and_come_exactly() -> None:
    vector = np.array([1.5, -0.25, 6e-8, 65504], ">f2")
    binary = b"\0\4\0\0" + vector.tobytes()
    memory = {"kind": "memory", "user_id": "ann", "id": str(UUID(int=1)), "text": "x", "created_at": NOW.isoformat()}
    header = {"kind": "header", "version": 1, "embedder": {"name": "words", "dimensions": 4}}
    content = [header, {**memory, "vector": ours.vector_text(binary)}, {"kind": "end"}]
    (item,) = read(b"".join(json.dumps(one).encode() + b"\n" for one in content))
    assert isinstance(item, MemoryItem)
    assert item.vector is not None
    assert item.vector.astype(">f2").tobytes() == vector.tobytes()
    assert base64.b64decode(ours.vector_text(binary)) == vector.tobytes()


def test_what_is_empty_is_not_written() -> None:
    nothing: dict[str, Any] = {"agent_id": "", "speaker": None, "pinned": False, "position": 0, "also": []}
    row = {"user_id": "ann", "quality": 0.0, **nothing}
    assert json.loads(ours.written("memory", row)) == {"kind": "memory", "user_id": "ann", "quality": 0.0}
    assert "\n" not in ours.written("memory", {"text": "one\ntwo"}).decode()[:-1]


def test_a_reason_never_says_what_stood_there() -> None:
    secret = "Zanzibar"
    for values in (
        {"id": secret}, {"text": secret, "created_at": secret}, {"user_id": f" {secret}"}, {"metadata": secret},
        {"metadata": {"x": secret + "\0"}}, {"pinned": secret}, {"position": secret}, {"quality": secret},
        {"text": secret + "\0"}, {"messages": secret}, {"event": secret},
    ):  # fmt: skip
        base = {"user_id": "ann", "id": str(UUID(int=1)), "text": "x", "created_at": NOW.isoformat()}
        for kind in KINDS:
            for item in read(json.dumps({**base, **values, "kind": kind}).encode()):
                assert not isinstance(item, Notice) or secret not in item.reason


def facts(text: str) -> Iterator[tuple[str, str]]:
    for said_at, fact, _ in facts_of(text, NOW):
        yield said_at.date().isoformat(), fact


def test_notes_become_facts() -> None:
    assert list(facts("- [2025-05-01] Has a dog.\n* Likes tea.\n\n1. Plays chess\n[2025-05-02 10:00:00] x")) == [
        ("2025-05-01", "Has a dog."),
        ("2026-02-01", "Likes tea."),
        ("2026-02-01", "Plays chess"),
        ("2025-05-02", "x"),
    ]
    assert list(facts('```json\n{"a": {"b": ["c", 1, null, ""]}, "d": true}\n```')) == [
        ("2026-02-01", "b: c"),
        ("2026-02-01", "b: 1"),
        ("2026-02-01", "d: True"),
    ]
    assert list(facts('{"x": [{"事件": "moved", "时间戳": "no day"}]}')) == [("2026-02-01", "moved")]
    assert list(facts("")) == []


def test_options_are_checked_before_anything_is_read() -> None:
    for options in ({"user_id": "*"}, {"agent_id": " x"}):
        with pytest.raises(ValueError, match="must"):
            ImportOptions(**options)  # type: ignore[arg-type]


def test_a_refusing_owner_is_told_by_its_line() -> None:
    def nobody(_: str) -> str:
        raise LineError("belongs to another owner than --from")

    reading = Reading(nobody, Model("words", 4), NOW)
    line = {"kind": "memory", "user_id": "bob", "id": str(UUID(int=1)), "text": "x", "created_at": NOW.isoformat()}
    notices = list(ours.read(io.BytesIO(json.dumps(line).encode()), reading))
    assert [item.number for item in notices] == [1, 2]
