"""The curve by which memories fade, against the numbers of its description."""

import math
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.forgetting import retention
from xiaozhi_server.core.providers.memory.mem0ai.forgetting.retention import (
    RetentionInfo,
    Trace,
    quality_of,
    recalled,
    retention_info,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NEVER = Trace()


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def judged(created_days: float, trace: Trace = NEVER, **more: object) -> RetentionInfo:
    return retention_info(NOW, ago(created_days), trace, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subtype", "s0", "kept_days", "gone_days"),
    [
        ("episodic", 14.0, 41.9, 42.0),
        ("semantic", 45.0, 134.8, 134.9),
        ("procedural", 90.0, 269.6, 269.7),
        ("", 30.0, 89.8, 89.9),
        ("a kind of somebody else's", 30.0, 89.8, 89.9),
    ],
)
def test_what_is_never_recalled_goes_after_three_times_its_stability(
    subtype: str, s0: float, kept_days: float, gone_days: float
) -> None:
    kept, gone = judged(kept_days, subtype=subtype), judged(gone_days, subtype=subtype)
    assert (kept.forget, gone.forget) == (False, True)
    assert kept.s0_used == gone.s0_used == gone.stability_days == s0
    assert kept.retention == pytest.approx(0.05, abs=0.001)
    assert round(s0 * -math.log(retention.FORGET_THETA)) in (42, 135, 270, 90)


def test_a_flagged_text_fades_like_any_other_kind() -> None:
    info = judged(50, subtype="episodic", flag="unsure")
    assert (info.memory_subtype, info.s0_used, info.forget) == ("other", 30.0, False)


def test_recalls_make_it_stable_up_to_six_of_them() -> None:
    once = judged(80, Trace(ago(45), 1, 1.0), subtype="episodic")
    assert (once.recall_strength, once.stability_days, once.age_days) == (1.0, 25.2, 45.0)
    assert (once.age_since_created_days, once.forget) == (80.0, False)
    six = judged(900, Trace(ago(400), 6, 0.9), subtype="episodic")
    assert six.recall_strength == 5.4
    assert six.stability_days == pytest.approx(14 * 1.8**5.4, abs=0.01)
    assert not six.forget
    assert judged(900, Trace(ago(400), 600, 0.9), subtype="episodic").stability_days == six.stability_days


def test_a_recall_counts_from_half_a_fit_on_and_the_latest_says_three_tenths() -> None:
    assert recalled(NEVER, 0.4999, NOW) is NEVER
    first = recalled(NEVER, 0.8, ago(2))
    assert first == Trace(ago(2), 1, 0.8)
    assert recalled(first, 0.5, NOW) == Trace(NOW, 2, 0.71)
    assert recalled(first, 1 / 3 + 0.5, NOW).quality_ema == 0.81
    assert recalled(first, 7.0, NOW).quality_ema == 0.86
    assert recalled(first, math.nan, NOW) is first
    assert recalled(first, 0.8, ago(9)).last_recalled_at == ago(2), "what is told late turns no clock back"


def test_quality_is_the_best_that_is_known_of_the_fit() -> None:
    assert quality_of(0.3, rerank_score=0.9, vector_distance=0.2) == 0.9
    assert quality_of(0.0, vector_distance=0.2) == 0.0
    assert quality_of(None, vector_distance=0.2) == 0.8
    assert quality_of(None, vector_distance=1.7) == quality_of(None) == quality_of(math.nan) == quality_of(-1) == 0.0
    assert quality_of(1.5) == 1.0


def test_the_hard_limit_counts_from_the_beginning_whatever_was_recalled() -> None:
    fresh = Trace(ago(1), 6, 1.0)
    assert not judged(30, fresh, ttl_days=30).ttl_expired
    gone = judged(30.01, fresh, ttl_days=30)
    assert (gone.ttl_expired, gone.forget) == (True, True)
    assert not judged(900, fades=False).forget
    assert judged(900, fades=False, ttl_days=899).forget
    assert not judged(900, pinned=True, ttl_days=1).forget


@pytest.mark.parametrize(
    "moment", [None, ago(-0.001), datetime(1970, 1, 1, tzinfo=UTC), datetime(1, 1, 1), datetime(9999, 1, 1, tzinfo=UTC)]
)
def test_an_unknown_or_impossible_date_means_keep(moment: datetime | None) -> None:
    info = retention_info(NOW, moment, NEVER, subtype="episodic", ttl_days=1)
    assert (info.forget, info.retention, info.age_days, info.age_since_created_days) == (False, 1.0, None, None)
    if moment is not None:
        assert not judged(900, Trace(moment, 1, 0.5), subtype="episodic").forget


def test_a_date_without_a_zone_is_in_utc_and_any_zone_will_do() -> None:
    assert retention_info(NOW, ago(3).replace(tzinfo=None), NEVER).age_days == 3.0
    assert retention_info(NOW, ago(3).astimezone(timezone(timedelta(hours=8))), NEVER).age_days == 3.0


def test_the_judgement_has_the_names_of_its_description() -> None:
    assert asdict(judged(10, Trace(ago(2), 3, 0.712345), subtype="semantic", ttl_days=5)) == {
        "recall_count": 3,
        "quality_ema": 0.7123,
        "recall_strength": 2.137,
        "stability_days": 158.03,
        "age_days": 2.0,
        "age_since_created_days": 10.0,
        "retention": 0.9874,
        "ttl_expired": True,
        "forget": True,
        "memory_subtype": "semantic",
        "s0_used": 45.0,
        "recently_recalled": True,
    }


@given(
    st.floats(0, 5000),
    st.lists(st.floats(0, 1), max_size=8),
    st.sampled_from(["", "episodic", "semantic", "procedural"]),
)
def test_more_recalls_never_make_it_fade_sooner(age: float, qualities: list[float], subtype: str) -> None:
    trace, retentions = NEVER, []
    for quality in qualities:
        retentions.append(judged(age, Trace(ago(age), trace.recall_count, trace.quality_ema), subtype=subtype))
        trace = recalled(trace, max(quality, trace.quality_ema or 0.0), ago(age))
    assert retentions == sorted(retentions, key=lambda one: one.stability_days)
    assert all(0 <= one.retention <= 1 for one in retentions)


def test_what_was_used_lately_goes_only_at_its_hard_end_however_badly_it_fitted() -> None:
    def used(days: float, **more: Any) -> RetentionInfo:
        return judged(500, used_at=ago(days), **more)

    assert (used(41.9).recently_recalled, used(41.9).forget) == (True, False)
    assert (used(42.1).recently_recalled, used(42.1).forget) == (False, True)
    assert used(-3).forget is False, "a time that lies ahead is unknown"
    assert used(1).retention == judged(500).retention, "the formula knows nothing of it"
    assert used(1, ttl_days=499).forget
    naive = retention_info(NOW, ago(500), NEVER, used_at=ago(1).replace(tzinfo=None))
    assert naive.recently_recalled
