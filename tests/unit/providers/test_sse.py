"""The reader of server-sent events, whatever way the network cuts them."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.sse import SseError, SseReader

LONGEST = 100


def read(pieces: Iterable[bytes]) -> list[bytes]:
    reader = SseReader(LONGEST)
    return [data for piece in pieces for data in reader.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\ndata: two\n\n", [b"one", b"two"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", [b"one", b"two"]),
        (b"data: one\r\rdata: two\r\r", [b"one", b"two"]),
        (b"data: one\r\n\ndata: two\n\r\n", [b"one", b"two"]),
        (b"data:one\n\ndata:  two \n\n", [b"one", b" two "]),
        (b"data: {\ndata: }\n\n", [b"{\n}"]),
        (b"data\ndata:\n\n", [b"\n"]),
        (b"data: a: b:c\n\n", [b"a: b:c"]),
        (b"data: a\x0bb\x0cc\xc2\x85d\xe2\x80\xa8e\n\n", [b"a\x0bb\x0cc\xc2\x85d\xe2\x80\xa8e"]),
        (b"\n\n: still here\n\n:\ndata: one\n: and here\n\n\n\n", [b"one"]),
        (b"event: x\nid: 7\nretry: 10\ndata: one\nother: y\n\nevent: ping\n\n", [b"one"]),
        (b"<html>\n\nno events: none\n\ndatabase: x\n\n Data: y\n\n", []),
        (b"data: one\n\ndata: without an end", [b"one"]),
        (b"data: one\n\ndata: without an end\n", [b"one"]),
        (b"", []),
    ],
)
def test_events(stream: bytes, events: list[bytes]) -> None:
    assert read([stream]) == events
    assert read([stream[at : at + 1] for at in range(len(stream))]) == events
    assert read(piece for at in range(len(stream)) for piece in (b"", stream[at : at + 1], b"")) == events


LINES = [b"data: one", b"data: \xe4\xbd\xa0", b"data:", b": comment", b"id: 1", b""]


@given(st.data())
def test_the_cuts_do_not_matter(data: st.DataObject) -> None:
    lines = data.draw(st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=8))
    stream = b"".join(line + end for line, end in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(pieces) == read([stream])


@pytest.mark.parametrize("endless", [b"a" * 40, b"data: " + b"a" * 40 + b"\n", b": " + b"a" * 98])
def test_an_event_without_an_end_is_nonsense(endless: bytes) -> None:
    reader = SseReader(LONGEST)
    assert list(reader.feed(b"data: one\n\n")) == [b"one"]
    with pytest.raises(SseError):
        for _ in range(4):
            list(reader.feed(endless))


def test_many_long_events_are_no_long_event() -> None:
    stream = b"data: " + b"a" * 90 + b"\n\n"
    assert read([stream] * 10) == [b"a" * 90] * 10
    assert read([stream[at : at + 7] for at in range(0, len(stream), 7)] * 10) == [b"a" * 90] * 10


def test_what_came_before_nonsense_is_delivered() -> None:
    events = SseReader(LONGEST).feed(b"data: one\n\ndata: " + b"a" * 200)
    assert next(events) == b"one"
    with pytest.raises(SseError):
        next(events)
