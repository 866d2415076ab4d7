"""A small part of the judged talks (see bench/extraction.py), saved by a model that errs on purpose."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from bench.extraction import Model, Report, measured, model_of, options_of, table
from bench.extraction_judge import Judged, Row, _judge_recall
from bench.extraction_sets import HALVES, LANGUAGES, households
from firmware_sim.cloud import StandInCloud
from firmware_sim.cloud.extraction import Erring
from firmware_sim.cloud.extraction.wordings import WORDINGS

NOW = datetime.now(UTC)


async def judged(dsn: str, folder: Path, share: float) -> tuple[Report, Erring]:
    async with StandInCloud(phrases=()) as cloud:
        cloud.erring = Erring(share, seed=7)
        told = households(7, NOW, count=1)
        return await measured(dsn, folder, told, Model(cloud.base_url, "stand-in", "none")), cloud.erring


def check_never(part: Judged) -> None:
    """Whatever the model answers."""
    assert part.superseded.precision >= 0.9
    assert part.merged.precision >= 0.9
    assert part.lost == 0
    assert part.over_as_current == 0
    assert part.missed_as_current <= part.superseded.wanted - part.superseded.right


async def test_a_model_that_does_its_best(database_dsn: str, tmp_path: Path) -> None:
    report, _ = await judged(database_dsn, tmp_path, 0.0)
    part = report.judged["all"]
    check_never(part)
    assert part.superseded.recall >= 0.75
    assert part.merged.recall >= 0.6
    assert min(part.related.precision, part.related.recall) >= 0.8
    assert part.past_found >= 0.8 * part.asked > 0
    assert part.dated_found >= 0.7 * part.asked
    assert part.suspect == 0
    assert report.cost.calls == report.cost.talks == 24
    assert 0 < report.cost.figures()["model calls per exchange"] < 0.2
    assert "en, unseen" in table(report)


async def test_a_model_that_errs_in_every_way(database_dsn: str, tmp_path: Path) -> None:
    report, erring = await judged(database_dsn, tmp_path, 0.6)
    part = report.judged["all"]
    assert len(erring.seen) > len(WORDINGS) / 2
    check_never(part)
    assert part.superseded.recall >= 0.4
    assert part.suspect > 0
    assert report.cost.calls > report.cost.talks


async def test_an_old_fact_that_is_taken_for_a_present_one_is_counted() -> None:
    (told, *_) = households(7, NOW, count=1)
    change = told.changes[0]
    for is_over, expected in ((False, (1, 0)), (True, (0, 1))):
        rows = [
            Row(UUID(int=0), f"talk {change.before.talk}", change.before.text, "", is_over),
            Row(UUID(int=1), f"talk {change.after.talk}", change.after.text, "", False),
        ]

        async def ask(_: str, found: frozenset[UUID] = frozenset(row.id for row in rows)) -> frozenset[UUID]:
            return found

        part = Judged()
        await _judge_recall(replace(told, changes=(change,)), rows, ask, part)
        assert (part.missed_as_current, part.over_as_current) == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sets_are_large_enough_and_their_halves_differ(language: str) -> None:
    told = households(1, NOW)
    assert sum(len(one.changes) for one in told) >= 80
    assert sum(len(one.repeats) for one in told) >= 60
    assert sum(len(one.kin) for one in told) >= 40
    assert sum(len(one.alike) for one in told) >= 80
    halves = [[one.talks for one in told if (one.language, one.half) == (language, half)] for half in HALVES]
    assert len(halves[0]) == len(halves[1]) > 0
    assert not {talk for talks in halves[0] for talk in talks} & {talk for talks in halves[1] for talk in talks}
    assert told == households(1, NOW)


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ([], {}, None),
        ([], {"OPENAI_API_KEY": "a key"}, None),
        ([], {"OPENAI_BASE_URL": "", "OPENAI_MODEL": "any"}, None),
        ([], {"OPENAI_BASE_URL": "http://here/v1"}, Model("http://here/v1", "gpt-4.1-mini", "none")),
        (
            [],
            {"OPENAI_BASE_URL": "http://here/v1", "OPENAI_MODEL": "any", "OPENAI_API_KEY": "a key"},
            Model("http://here/v1", "any", "a key"),
        ),
        (["--url", "http://x/v1"], {"OPENAI_BASE_URL": "http://y/v1"}, Model("http://x/v1", "gpt-4.1-mini", "none")),
    ],
)  # fmt: skip
def test_the_same_command_asks_any_model(
    arguments: list[str], environment: dict[str, str], expected: Model | None
) -> None:
    assert model_of(options_of(arguments, environment)) == expected
