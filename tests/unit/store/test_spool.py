import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from xiaozhi_server.core.ports import AgentProfile, Binding, Exchange, SpokenLine
from xiaozhi_server.store.spool import Spool, SpoolFullError
from xiaozhi_server.store.text import storable


def exchange(turn_id: str) -> Exchange:
    binding = Binding("m", "device:m", AgentProfile("a", "Ada", "prompt", "zh", summary_memory="facts"))
    line = SpokenLine("l1", "user", "我最喜欢的颜色是青色。", datetime(2026, 5, 1, 12, 30, tzinfo=UTC))
    return Exchange(turn_id, "s", binding, (line,), "done", {"asr": 1.5}, ("slow",))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool", limit=3)
    assert spool.open() == 0
    return spool


def test_exchanges_come_back_whole_and_in_order(spool: Spool) -> None:
    written = [exchange(str(number)) for number in range(3)]
    for one in written:
        spool.put(one)
    assert [spool.read(entry) for entry in spool.waiting()] == written


def test_files_are_private(spool: Spool) -> None:
    spool.put(exchange("1"))
    (entry,) = spool.waiting()
    assert entry.stat().st_mode & 0o777 == 0o600
    assert entry.parent.stat().st_mode & 0o777 == 0o700


def test_the_bound_counts_what_was_put_aside_too(spool: Spool) -> None:
    for number in range(3):
        spool.put(exchange(str(number)))
    spool.put_aside(spool.waiting()[0])
    assert len(spool.waiting()) == 2
    with pytest.raises(SpoolFullError):
        spool.put(exchange("one too many"))


def test_what_cannot_be_read_is_put_aside_and_halves_are_thrown_away(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "spool" / "1.json").write_text('{"turn_id": ')
    half = tmp_path / "spool" / "2.new"
    half.write_text("{")
    os.utime(half, (0, 0))
    assert spool.open() == 1
    assert spool.read(spool.waiting()[0]) is None
    assert [entry.name for entry in (tmp_path / "spool").iterdir()] == ["1.rejected"]


def test_what_another_server_is_just_writing_is_left_alone(spool: Spool, tmp_path: Path) -> None:
    half = tmp_path / "spool" / "2.new"
    half.write_text("{")
    assert spool.open() == 0
    assert half.exists()


def test_an_entry_that_another_server_took_is_none(spool: Spool) -> None:
    spool.put(exchange("1"))
    (entry,) = spool.waiting()
    spool.remove(entry)
    spool.remove(entry)
    spool.put_aside(entry)
    assert spool.read(entry) is None


def test_text_is_made_fit_for_postgres() -> None:
    assert storable("a\x00b\udc80c", 3) == "ab?"
