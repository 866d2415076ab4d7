from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from firmware_sim.opus import decode_speech
from tests.support.speech import join, likeness, resample, speak, uplink
from xiaozhi_server.core.audio import libopus
from xiaozhi_server.core.audio.opus import OpusDecoder, OpusEncoder, packet_samples, silence_packet

# The first byte of a 60 ms SILK wideband packet, alone: what a device sends in silence.
DTX_60_MS = bytes([11 << 3])


def decoded(packets: list[bytes]) -> NDArray[np.int16]:
    decoder = OpusDecoder()
    pieces = [decoder.decode(packet) for packet in packets]
    assert all(piece is not None for piece in pieces)
    return np.concatenate([piece for piece in pieces if piece is not None])


@pytest.mark.parametrize("frame_ms", [20, 40, 60])
def test_the_packets_own_length_decides(frame_ms: int) -> None:
    spoken = speak("What is my favourite colour?")
    packets = uplink(spoken, frame_ms)
    assert {packet_samples(packet) for packet in packets} == {16 * frame_ms}
    heard = decoded(packets)
    assert heard.size == len(packets) * 16 * frame_ms
    assert likeness(heard, spoken) > 0.95


def test_lengths_may_change_from_packet_to_packet() -> None:
    spoken = speak("stop")
    packets = uplink(spoken, 20) + uplink(spoken, 60)
    assert decoded(packets).size == sum(packet_samples(packet) or 0 for packet in packets)


@pytest.mark.parametrize("packet", [DTX_60_MS, bytes([11 << 3, 0]), bytes([(11 << 3) | 3, 1])])
def test_a_packet_without_sound_is_silence_of_its_length(packet: bytes) -> None:
    decoder = OpusDecoder()
    before, after = uplink(speak("stop"))[2:4]
    assert decoder.decode(before) is not None
    sound = decoder.decode(packet)
    assert sound is not None
    assert sound.size == 960
    assert not sound.any()
    assert decoder.decode(after) is not None


@pytest.mark.parametrize("packet", [b"", b"\xff", b"\xff\xff\xff\xff", b"\x03\x00", b"\x03"])
def test_a_corrupt_packet_costs_only_itself(packet: bytes) -> None:
    decoder = OpusDecoder()
    good = uplink(speak("stop"))
    assert decoder.decode(good[0]) is not None
    assert decoder.decode(packet) is None
    following = decoder.decode(good[1])
    assert following is not None
    assert following.any()


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_sound_of_its_length_or_nothing(packet: bytes) -> None:
    sound = OpusDecoder().decode(packet)
    samples = packet_samples(packet)
    assert sound is None or sound.size == samples
    assert samples is None or 0 < samples <= 16_000 * 120 // 1000


def test_reset_starts_a_new_stream() -> None:
    packets = uplink(speak("stop"))
    decoder = OpusDecoder()
    first = [decoder.decode(packet) for packet in packets]
    decoder.reset()
    again = [decoder.decode(packet) for packet in packets]
    for one, other in zip(first, again, strict=True):
        assert one is not None
        assert other is not None
        assert np.array_equal(one, other)


@pytest.mark.parametrize(("rate", "frame_ms"), [(24_000, 60), (16_000, 60), (24_000, 20), (48_000, 40)])
def test_the_encoder_makes_packets_of_exactly_one_frame(rate: int, frame_ms: int) -> None:
    encoder = OpusEncoder(rate, frame_ms)
    sound = (8000 * np.sin(np.arange(rate) / rate * 2 * np.pi * 440)).astype(np.int16)
    packets: list[bytes] = []
    for start in range(0, sound.size, 777):
        packets += encoder.encode(sound[start : start + 777])
    packets += encoder.flush()
    assert len(packets) == -(-1000 // frame_ms)
    assert {packet_samples(packet) for packet in packets} == {16 * frame_ms}
    assert encoder.flush() == []
    assert likeness(decoded(packets), resample(sound, rate)) > 0.95


def test_the_encoder_goes_on_after_a_flush() -> None:
    encoder = OpusEncoder(16_000, 60)
    spoken = speak("What is my favourite colour?")
    packets = encoder.encode(spoken) + encoder.flush() + encoder.encode(spoken) + encoder.flush()
    pad = np.zeros(-spoken.size % 960, np.int16)
    assert likeness(decoded(packets), join(spoken, pad, spoken, pad)) > 0.95


def test_a_silent_packet_is_silent_and_made_once() -> None:
    packet = silence_packet(24_000, 60)
    assert packet_samples(packet, 24_000) == 1440
    assert np.abs(decoded([packet])).max() < 10
    assert silence_packet(24_000, 60) is packet


def test_another_decoder_hears_the_same() -> None:
    spoken = speak("What is my favourite colour?")
    encoder = OpusEncoder(16_000, 60)
    heard, errors = decode_speech(encoder.encode(spoken) + encoder.flush(), 16_000)
    assert errors == 0
    assert likeness(np.frombuffer(heard, np.int16)[: spoken.size], spoken) > 0.95


def test_a_rate_that_opus_does_not_know_is_named() -> None:
    with pytest.raises(ValueError, match="16000, 24000 and 48000 Hz, not 44100"):
        OpusEncoder(44_100, 60)


def test_a_frame_length_that_opus_does_not_know_is_named() -> None:
    with pytest.raises(ValueError, match="cannot encode 1120 samples"):
        OpusEncoder(16_000, 70).encode(np.zeros(1120, np.int16))


def test_without_the_library_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("av.__file__", str(tmp_path / "av" / "__init__.py"))
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(ImportError, match="reinstall av") as raised:
        libopus._load()
    assert raised.value.name == "libopus"


def test_a_system_library_serves_where_pyav_brings_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    brought = libopus._library._name
    monkeypatch.setattr("av.__file__", str(tmp_path / "av" / "__init__.py"))
    monkeypatch.setattr("ctypes.util.find_library", lambda name: brought if name == "opus" else None)
    assert libopus._load().opus_decoder_get_size(1) == libopus._DECODER_BYTES
