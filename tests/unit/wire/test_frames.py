"""The binary layouts: what goes in comes out, and every wrong length is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.wire.frames import MAX_PACKET_BYTES, AudioFrame, FrameCodec
from xiaozhi_server.core.wire.messages import Unusable

PACKETS = st.binary(max_size=MAX_PACKET_BYTES)
VERSIONS = st.sampled_from([1, 2, 3])


@given(VERSIONS, PACKETS, st.integers(0, 2**32 - 1))
def test_round_trip(version: int, packet: bytes, timestamp_ms: int) -> None:
    codec = FrameCodec(version)
    kept = timestamp_ms if version == 2 else 0
    assert codec.decode(codec.encode(packet, timestamp_ms)) == AudioFrame(packet, kept)


@given(VERSIONS, st.binary(max_size=6000))
def test_any_bytes_are_read_or_refused(version: int, frame: bytes) -> None:
    decoded = FrameCodec(version).decode(frame)
    assert isinstance(decoded, Unusable) or len(decoded.packet) <= len(frame)


@given(st.sampled_from([2, 3]), st.binary(min_size=1, max_size=300), st.integers(1, 20))
def test_a_cut_or_padded_frame_is_refused(version: int, packet: bytes, count: int) -> None:
    codec = FrameCodec(version)
    frame = codec.encode(packet)
    assert isinstance(codec.decode(frame[:-count]), Unusable)
    assert isinstance(codec.decode(frame + b"\0" * count), Unusable)


def test_layouts_are_those_of_the_firmware() -> None:
    assert FrameCodec(1).encode(b"ab", 5) == b"ab"
    assert FrameCodec(2).encode(b"ab", 5) == bytes.fromhex("0002 0000 00000000 00000005 00000002") + b"ab"
    assert FrameCodec(3).encode(b"ab", 5) == bytes.fromhex("00 00 0002") + b"ab"


@pytest.mark.parametrize("version", [-1, 0, 1, 4, 9])
def test_other_versions_are_bare(version: int) -> None:
    assert FrameCodec(version).version == 1


def test_timestamps_wrap() -> None:
    decoded = FrameCodec(2).decode(FrameCodec(2).encode(b"x", 2**32 + 7))
    assert decoded == AudioFrame(b"x", 7)


def test_json_in_binary_and_oversize_are_refused() -> None:
    json_frame = bytes.fromhex("0002 0001 00000000 00000000 00000002") + b"{}"
    assert isinstance(FrameCodec(2).decode(json_frame), Unusable)
    assert isinstance(FrameCodec(3).decode(bytes.fromhex("01 00 0002") + b"{}"), Unusable)
    assert isinstance(FrameCodec(1).decode(b"x" * 5000), Unusable)
    with pytest.raises(ValueError, match="oversize"):
        FrameCodec(1).encode(b"x" * 5000)


@pytest.mark.parametrize("version", [2, 3])
def test_a_client_that_announces_a_layout_and_sends_bare_packets_is_understood(version: int) -> None:
    codec = FrameCodec(version)
    bare = b"\x58" + b"opus" * 20
    assert [isinstance(codec.decode(bare), Unusable) for _ in range(4)] == [True, True, True, False]
    assert codec.encode(b"ab") == b"ab"


@pytest.mark.parametrize("version", [2, 3])
def test_misfits_after_a_good_frame_change_nothing(version: int) -> None:
    codec = FrameCodec(version)
    good = codec.encode(b"good")
    assert codec.decode(good) == AudioFrame(b"good")
    assert all(isinstance(codec.decode(b"\x58bad"), Unusable) for _ in range(10))
    assert codec.decode(good) == AudioFrame(b"good")
