"""What is counted, for Prometheus. Labels take values from small closed sets only, never from a device."""

from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from .core.bounds import Bound
from .core.hearing.hearing import HearingCounters
from .core.providers.memory.mem0ai.observe import FactKind, FailureKind
from .core.turn.inputs import TurnOutcome

FIRST_AUDIO_BUCKETS_S = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
RECALL_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.75, 1.5, 5.0)


class ConnectionMetrics:
    """Implements `ConnectionObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._connections = Gauge("xiaozhi_connections", "Devices that are connected", registry=registry)
        self._opened = Counter("xiaozhi_connections_opened", "Connections since the start", registry=registry)
        self._closed = Counter(
            "xiaozhi_connections_closed", "Connections that ended, by what ended them", ["reason"], registry=registry
        )
        self._ignored = Counter(
            "xiaozhi_messages_ignored", "Messages of devices that were not used, by why", ["reason"], registry=registry
        )
        self._turns = Counter("xiaozhi_turns", "Turns, by how they ended", ["outcome"], registry=registry)
        self._errors = Counter("xiaozhi_turn_errors", "What failed within turns", ["error"], registry=registry)
        self._bounds = Counter(
            "xiaozhi_bounds_reached",
            "How often a client was held to a bound, by its name",
            ["bound"],
            registry=registry,
        )
        for bound in get_args(Bound):
            self._bounds.labels(bound)  # shown from the start: a graph needs the zero before the first one
        self._first_audio = Histogram(
            "xiaozhi_turn_first_audio_seconds",
            "From the beginning of a turn (a person has finished) to its first sound",
            buckets=FIRST_AUDIO_BUCKETS_S,
            registry=registry,
        )

    def connection_opened(self) -> None:
        self._opened.inc()
        self._connections.inc()

    def connection_closed(self, reason: str) -> None:
        self._closed.labels(reason).inc()
        self._connections.dec()

    def message_ignored(self, reason: str) -> None:
        self._ignored.labels(reason).inc()

    def turn_over(self, outcome: TurnOutcome) -> None:
        self._turns.labels(outcome.kind).inc()
        for error in outcome.errors:
            self._errors.labels(error).inc()
        first_audio_ms = outcome.timings_ms.get("first_audio")
        if first_audio_ms is not None:
            self._first_audio.observe(first_audio_ms / 1000)

    def bound_reached(self, bound: Bound) -> None:
        self._bounds.labels(bound).inc()


class MemoryMetrics:
    """Implements `MemoryObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._recall = Histogram(
            "xiaozhi_memory_recall_seconds",
            "From a question to what is remembered about it, at most to its deadline",
            buckets=RECALL_BUCKETS_S,
            registry=registry,
        )
        self._recalls = Counter(
            "xiaozhi_memory_recalls", "Questions to the memory, by what came of them", ["outcome"], registry=registry
        )
        self._hits = Counter("xiaozhi_memory_recalled", "Memories that were brought back", registry=registry)
        self._saved = Counter("xiaozhi_memory_saved", "Exchanges that became memories", registry=registry)
        self._embedded = Counter("xiaozhi_memory_embedded_texts", "Texts that became vectors", registry=registry)
        self._embedding = Histogram(
            "xiaozhi_memory_embedding_seconds",
            "How long one call of the embedder took",
            buckets=RECALL_BUCKETS_S,
            registry=registry,
        )
        self._model_calls = Counter("xiaozhi_memory_model_calls", "Calls of a language model", registry=registry)
        self._model_tokens = Counter("xiaozhi_memory_model_tokens", "Tokens of these calls", registry=registry)
        self._facts = Counter(
            "xiaozhi_memory_facts",
            "Facts that a model made of talks, by what became of them",
            ["kind"],
            registry=registry,
        )
        self._failures = Counter(
            "xiaozhi_memory_failures",
            "What failed, by work and by kind of failure",
            ["work", "kind"],
            registry=registry,
        )
        self._queue = Gauge(
            "xiaozhi_memory_queue",
            "Exchanges that wait to become memories, and those given up",
            ["state"],
            registry=registry,
        )
        self._oldest = Gauge(
            "xiaozhi_memory_queue_oldest_seconds", "How long the oldest of them has waited", registry=registry
        )
        self._maintained = Counter(
            "xiaozhi_memory_maintained", "What the daily work did, by step", ["step", "what"], registry=registry
        )
        self._maintained_at = Gauge(
            "xiaozhi_memory_maintained_timestamp_seconds",
            "When a step of the daily work was last done by this server",
            ["step"],
            registry=registry,
        )
        self._maintenance_seconds = Gauge(
            "xiaozhi_memory_maintenance_seconds", "How long it took", ["step"], registry=registry
        )
        for outcome in ("found", "nothing", "late"):
            self._recalls.labels(outcome)
        for state in ("waiting", "dead"):
            self._queue.labels(state)

    def recall_done(self, seconds: float, hits: int, late: bool) -> None:
        self._recall.observe(seconds)
        self._recalls.labels("late" if late else "found" if hits else "nothing").inc()
        self._hits.inc(hits)

    def recall_failed(self, kind: FailureKind) -> None:
        self._failures.labels("recall", kind).inc()

    def saved(self, count: int) -> None:
        self._saved.inc(count)

    def save_failed(self, kind: FailureKind) -> None:
        self._failures.labels("save", kind).inc()

    def embedded(self, texts: int, seconds: float) -> None:
        self._embedded.inc(texts)
        self._embedding.observe(seconds)

    def embedding_failed(self, kind: FailureKind) -> None:
        self._failures.labels("embedding", kind).inc()

    def facts_made(self, counts: Mapping[FactKind, int]) -> None:
        for kind, count in counts.items():
            self._facts.labels(kind).inc(count)

    def model_called(self, tokens: int) -> None:
        self._model_calls.inc()
        self._model_tokens.inc(tokens)

    def queue(self, waiting: int, dead: int, oldest_s: float) -> None:
        self._queue.labels("waiting").set(waiting)
        self._queue.labels("dead").set(dead)
        self._oldest.set(oldest_s)

    def maintained(self, step: str, counts: Mapping[str, int], seconds: float) -> None:
        for what, count in counts.items():
            self._maintained.labels(step, what).inc(count)
        self._maintained_at.labels(step).set_to_current_time()
        self._maintenance_seconds.labels(step).set(seconds)

    def maintenance_failed(self, step: str, kind: FailureKind) -> None:
        self._failures.labels(f"daily {step}", kind).inc()


class HearingCollector(Collector):
    """What hearing counts for itself, read when somebody asks."""

    def __init__(self, counters: HearingCounters) -> None:
        self._counters = counters

    def collect(self) -> Iterable[CounterMetricFamily]:
        counters = self._counters
        packets = CounterMetricFamily(
            "xiaozhi_sound_packets", "Packets of sound that devices sent, by what became of them", labels=["fate"]
        )
        packets.add_metric(["heard"], counters.heard)
        packets.add_metric(["discarded"], counters.discarded)
        packets.add_metric(["overflowed"], counters.overflowed)
        packets.add_metric(["corrupt"], counters.corrupt)
        yield packets
        yield CounterMetricFamily(
            "xiaozhi_utterances_capped", "Utterances that were cut off at the longest allowed", value=counters.capped
        )


def show_value(registry: CollectorRegistry, name: str, text: str, read: Callable[[], float]) -> None:
    """A value that is read when somebody asks for it."""
    Gauge(name, text, registry=registry).set_function(read)


def event_counter(registry: CollectorRegistry, name: str, text: str) -> Callable[[], None]:
    """To be called whenever it happens."""
    return Counter(name, text, registry=registry).inc
