import io

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.speech import likeness, resample, speak
from xiaozhi_server.core.audio.decode import AudioDecoder, Codec, UnusableAudioError
from xiaozhi_server.core.audio.ogg import OggPackets
from xiaozhi_server.core.audio.wav import UnusableWavError, read_head

# codec → container, encoder, rate of the file
FILES: dict[Codec, tuple[str, str, int]] = {
    "wav": ("wav", "pcm_s16le", 22_050),
    "mp3": ("mp3", "mp3", 24_000),
    "aac": ("adts", "aac", 44_100),
    "flac": ("flac", "flac", 24_000),
    "opus": ("ogg", "libopus", 48_000),
}


def as_file(pcm: NDArray[np.int16], container: str, encoder: str, rate: int, layout: str = "mono") -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format=container) as out:
        stream = out.add_stream(encoder, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = layout
        frame = AudioFrame.from_ndarray(resample(pcm, 16_000, rate).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        fitting = AudioResampler(stream.format.name, layout, rate, frame_size=stream.frame_size or None)
        for piece in fitting.resample(frame) + fitting.resample(None):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return target.getvalue()


def decode(codec: Codec, data: bytes, chunk_bytes: int, rate_in: int = 24_000) -> NDArray[np.int16]:
    decoder = AudioDecoder(codec, rate_in, 24_000)
    pieces = [decoder.feed(data[at : at + chunk_bytes]) for at in range(0, len(data), chunk_bytes)]
    return np.concatenate([*pieces, decoder.finish()])


@pytest.mark.parametrize("chunk_bytes", [1_000_000, 1000, 37])
@pytest.mark.parametrize("codec", FILES)
def test_every_codec_gives_the_sound_however_it_is_cut(codec: Codec, chunk_bytes: int) -> None:
    spoken = speak("What is my favourite colour?")
    sound = decode(codec, as_file(spoken, *FILES[codec]), chunk_bytes)
    wanted = resample(spoken, 16_000, 24_000)
    assert sound.dtype == np.int16
    assert wanted.size <= sound.size + 50 < wanted.size + 24_000 // 8
    assert likeness(sound, wanted) > 0.98


@pytest.mark.parametrize("codec", ["mp3", "opus"])
def test_sound_comes_before_the_end_of_the_stream(codec: Codec) -> None:
    data = as_file(speak("What is my favourite colour?"), *FILES[codec])
    assert AudioDecoder(codec, 24_000, 24_000).feed(data[: len(data) // 2]).size > 24_000 // 4


@pytest.mark.parametrize("chunk_bytes", [1_000_000, 1001, 3])
def test_bare_samples_are_resampled_whatever_the_pieces(chunk_bytes: int) -> None:
    spoken = speak("stop")
    sound = decode("pcm", resample(spoken, 16_000, 22_050).tobytes(), chunk_bytes, rate_in=22_050)
    assert abs(sound.size - spoken.size * 3 // 2) < 60
    assert likeness(sound, resample(spoken, 16_000, 24_000)) > 0.99


def test_samples_at_the_wanted_rate_pass_unchanged() -> None:
    spoken = speak("stop")
    assert np.array_equal(decode("pcm", spoken.tobytes(), 999), spoken)


def test_a_stereo_stream_of_unknown_length_is_mixed_down() -> None:
    data = bytearray(as_file(speak("stop"), "wav", "pcm_s16le", 24_000, "stereo"))
    size_at = data.find(b"data") + 4
    data[4:8] = data[size_at : size_at + 4] = b"\xff\xff\xff\xff"
    assert likeness(decode("wav", bytes(data), 500), resample(speak("stop"), 16_000, 24_000)) > 0.98


def test_a_tag_before_the_music_is_no_music() -> None:
    data = as_file(speak("stop"), *FILES["mp3"])
    start = 10 + int.from_bytes(data[6:10], "big") if data.startswith(b"ID3") else 0
    picture = b"\xff\xfb\x90\x44" * 200
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, len(picture) >> 7, len(picture) & 0x7F]) + picture
    assert np.array_equal(decode("mp3", tag + data[start:], 300), decode("mp3", data[start:], 300))


@pytest.mark.parametrize("codec", FILES)
def test_no_bytes_are_no_sound_and_no_error(codec: Codec) -> None:
    decoder = AudioDecoder(codec, 24_000, 24_000)
    assert decoder.feed(b"").size == 0
    assert decoder.finish().size == 0


@pytest.mark.parametrize("codec", FILES)
def test_an_error_page_is_no_sound(codec: Codec) -> None:
    with pytest.raises(UnusableAudioError):
        decode(codec, b"<html><body>502 Bad Gateway</body></html>" * 50, 100)


@pytest.mark.parametrize("begins_well", [False, True])
@pytest.mark.parametrize("codec", ["mp3", "aac", "opus", "flac"])
def test_an_endless_stream_without_sound_is_given_up(codec: Codec, begins_well: bool) -> None:
    decoder = AudioDecoder(codec, 24_000, 24_000)
    if begins_well:
        assert decoder.feed(as_file(speak("What is my favourite colour? " * 3), *FILES[codec])).size
    with pytest.raises(UnusableAudioError):
        for _ in range(40):
            decoder.feed(b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(65_536))


@pytest.mark.parametrize("codec", ["mp3", "aac", "opus", "flac"])
def test_a_damaged_middle_costs_only_itself(codec: Codec) -> None:
    spoken = speak("What is my favourite colour?")
    data = bytearray(as_file(spoken, *FILES[codec]))
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    assert decode(codec, bytes(data), 700).size > spoken.size * 3 // 4


@given(st.sampled_from([*FILES, "pcm"]), st.lists(st.binary(max_size=400), max_size=6))
@settings(max_examples=150, deadline=None)
def test_garbage_gives_sound_or_the_documented_error(codec: Codec, chunks: list[bytes]) -> None:
    decoder = AudioDecoder(codec, 16_000, 24_000)
    try:
        for chunk in chunks:
            decoder.feed(chunk)
        decoder.finish()
    except UnusableAudioError:
        pass


@given(st.lists(st.binary(max_size=400), max_size=8))
def test_ogg_takes_any_bytes(chunks: list[bytes]) -> None:
    pages = OggPackets()
    for chunk in chunks:
        pages.feed(b"OggS" + chunk)


def test_ogg_joins_a_packet_over_two_pages() -> None:
    def page(flags: int, lacing: bytes, body: bytes) -> bytes:
        return b"OggS\0" + bytes([flags]) + bytes(20) + bytes([len(lacing)]) + lacing + body

    data = page(2, b"\x03\xff", b"abc" + b"x" * 255) + b"noise" + page(1, b"\x02", b"yz")
    pages = OggPackets()
    packets = [packet for at in range(len(data)) for packet in pages.feed(data[at : at + 1])]
    assert packets == [b"abc", b"x" * 255 + b"yz"]


@pytest.mark.parametrize(
    "head",
    [
        b"RIFX\0\0\0\0WAVE",
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        b"RIFF\0\0\0\0WAVEfmt \x04\0\0\0abcd",
        b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\x7f",
    ],
)
def test_a_wrong_wav_head_is_said(head: bytes) -> None:
    with pytest.raises(UnusableWavError):
        read_head(head + bytes(20))
