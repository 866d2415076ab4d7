"""What the bench of recall tells: the dialogues' figures beside what was promised, or that there are none."""

import sys
from pathlib import Path

import pytest

from bench import recall


def test_every_promised_figure_is_judged() -> None:
    found = {"questions": 1, "recall@5": 0.68, "recall@10": 0.789, "recall@20": 0.9, "session hit@10": 0.949}
    assert [(one.name, one.wanted, one.kept) for one in recall.judged(found)] == [
        ("recall@5", ">= 0.68", True),
        ("recall@10", ">= 0.79", False),
        ("recall@20", ">= 0.86", True),
        ("session hit@10", ">= 0.95", False),
    ]


def test_a_broken_promise_is_printed_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"recall@5": 0.7, "recall@10": 0.7, "recall@20": 0.9, "session hit@10": 1.0}
    recall.show({"dialogues": {"all": found}, "judged": recall.judged(found), "household": {}})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[-2].strip() for line in lines if line.startswith("| dialogues")] == [
        "yes", "NO", "yes", "yes",
    ]  # fmt: skip


async def test_without_dialogues_one_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    report = await recall.measure(None, None)
    assert list(report) == ["household"]
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "dialogues" in line.lower()]
    assert "NOT measured" in line


def test_a_named_file_that_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["recall", "--data", str(tmp_path / "none.json")])
    with pytest.raises(SystemExit):
        recall.main()
    assert "none.json" in capsys.readouterr().err
