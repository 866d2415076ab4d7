import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.hearing.events import HearingEvent, SpeechStarted, UtteranceEnded
from xiaozhi_server.core.hearing.options import HearingOptions
from xiaozhi_server.core.hearing.segmenter import Segmenter

WINDOW = 512
OPTIONS = HearingOptions()
# Windows for the defaults: 240 ms of patience, 90 ms of voice, 320 ms of pre-roll.
PATIENCE, MIN_VOICED, PRE_ROLL = 8, 3, 10


def run(scores: list[float], options: HearingOptions = OPTIONS) -> tuple[list[HearingEvent], Segmenter]:
    """Every window is filled with its own number, so that a test can tell which ones came back."""
    segmenter = Segmenter(options, WINDOW)
    events = [segmenter.push(np.full(WINDOW, number, np.int16), score) for number, score in enumerate(scores)]
    return [event for event in events if event is not None], segmenter


def windows_of(event: HearingEvent) -> list[int]:
    assert isinstance(event, UtteranceEnded)
    return [int(number) for number in np.frombuffer(event.pcm, np.int16)[::WINDOW]]


def test_silence_and_a_click_are_nothing() -> None:
    events, segmenter = run([0.0] * 30 + [0.9, 0.9] + [0.0] * 30)
    assert events == []
    assert not segmenter.speaking


def test_an_utterance_has_what_came_before_and_ends_after_the_patience() -> None:
    events, _ = run([0.0] * 20 + [0.9] * 5 + [0.0] * 20)
    assert isinstance(events[0], SpeechStarted)
    assert windows_of(events[1]) == list(range(20 - PRE_ROLL + 1, 25 + PATIENCE))
    assert isinstance(events[1], UtteranceEnded)
    assert events[1].voiced_ms == 160
    assert events[1].duration_ms == len(windows_of(events[1])) * 32


def test_speech_in_the_very_first_window_is_kept() -> None:
    events, _ = run([0.9] * 5 + [0.0] * PATIENCE)
    assert windows_of(events[1])[0] == 0


def test_a_short_pause_does_not_end_it() -> None:
    events, _ = run([0.9] * 5 + [0.1] * (PATIENCE - 1) + [0.4] + [0.1] * (PATIENCE - 1) + [0.9] + [0.0] * PATIENCE)
    assert len(events) == 2


def test_a_click_just_before_the_word_costs_none_of_it() -> None:
    events, _ = run([0.9] + [0.0] * PATIENCE + [0.9] * 4 + [0.0] * PATIENCE)
    assert windows_of(events[1])[0] == 0


def test_endless_speech_is_capped_and_nothing_is_lost_between() -> None:
    options = HearingOptions(auto_cap_s=1.024)
    events, _ = run([0.9] * 100, options)
    utterances = [event for event in events if isinstance(event, UtteranceEnded)]
    assert [event.reason for event in utterances] == ["cap"] * 3
    assert [number for event in utterances for number in windows_of(event)] == list(range(96))


@pytest.mark.parametrize("voiced", [0, MIN_VOICED - 1, MIN_VOICED])
def test_a_flush_ends_only_what_is_more_than_a_click(voiced: int) -> None:
    _, segmenter = run([0.9] * voiced)
    ended = segmenter.flush("stop", np.full(100, 77, np.int16))
    assert (ended is not None) == (voiced == MIN_VOICED)
    if ended is not None:
        assert ended.reason == "stop"
        assert ended.pcm.endswith(np.full(100, 77, np.int16).tobytes())
    assert not segmenter.speaking


@given(st.lists(st.floats(0, 1), max_size=200))
def test_no_window_comes_twice_and_all_voice_comes_back(scores: list[float]) -> None:
    events, segmenter = run(scores)
    last = segmenter.flush("stop")
    heard = [number for event in [*events, last] if isinstance(event, UtteranceEnded) for number in windows_of(event)]
    assert heard == sorted(set(heard))
    starts = sum(isinstance(event, SpeechStarted) for event in events)
    assert starts == sum(isinstance(event, UtteranceEnded) for event in [*events, last])
