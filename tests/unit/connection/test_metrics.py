"""What happens to connections and turns shows up in the counters."""

from prometheus_client import CollectorRegistry

from xiaozhi_server.core.hearing.hearing import HearingCounters
from xiaozhi_server.core.turn.inputs import TurnOutcome
from xiaozhi_server.metrics import ConnectionMetrics, HearingCollector


def test_everything_is_counted() -> None:
    registry = CollectorRegistry()
    metrics = ConnectionMetrics(registry)
    metrics.connection_opened()
    metrics.connection_opened()
    metrics.connection_closed("idle")
    metrics.message_ignored("not JSON")
    metrics.turn_over(TurnOutcome("done", timings_ms={"first_audio": 40.0}, errors=("llm:timeout",)))
    metrics.turn_over(TurnOutcome("interrupted"))
    metrics.bound_reached("max_connections")
    registry.register(HearingCollector(HearingCounters(heard=5, discarded=4, overflowed=3, corrupt=2, capped=1)))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("xiaozhi_connections") == 1
    assert value("xiaozhi_connections_opened_total") == 2
    assert value("xiaozhi_connections_closed_total", reason="idle") == 1
    assert value("xiaozhi_messages_ignored_total", reason="not JSON") == 1
    assert value("xiaozhi_turns_total", outcome="done") == 1
    assert value("xiaozhi_bounds_reached_total", bound="max_connections") == 1
    assert value("xiaozhi_bounds_reached_total", bound="turns_per_minute") == 0
    assert value("xiaozhi_utterances_capped_total") == 1
    for fate, count in {"heard": 5, "discarded": 4, "overflowed": 3, "corrupt": 2}.items():
        assert value("xiaozhi_sound_packets_total", fate=fate) == count
    assert value("xiaozhi_turn_errors_total", error="llm:timeout") == 1
    assert value("xiaozhi_turn_first_audio_seconds_count") == 1
    assert value("xiaozhi_turn_first_audio_seconds_sum") == 0.04
