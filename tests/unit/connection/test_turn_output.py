"""Whatever a turn sends, in whatever order: the device gets one start, one stop, sound only between them."""

from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.device_socket import Message
from xiaozhi_server.core.turn_output import Phase, TurnOutput
from xiaozhi_server.core.wire.frames import FrameCodec
from xiaozhi_server.core.wire.messages import stt, tts_start, tts_stop

START, STOP, HEARD = tts_start("s"), tts_stop("s"), stt("s", "hi")
ACTIONS = st.lists(st.sampled_from(["start", "stop", "heard", "audio", "huge audio", "end", "abort"]), max_size=12)


def perform(actions: list[str]) -> tuple[list[Message], list[str], TurnOutput]:
    sent: list[Message] = []
    told: list[str] = []
    output = TurnOutput(
        "s", FrameCodec(1), sent.append, lambda _: told.append("started"), lambda _: told.append("stopped")
    )
    for action in actions:
        match action:
            case "start":
                output.send_text(START)
            case "stop":
                output.send_text(STOP)
            case "heard":
                output.send_text(HEARD)
            case "audio":
                output.send_audio(b"opus", 1)
            case "huge audio":
                output.send_audio(b"x" * 5000, 1)
            case "end":
                output.end()
            case "abort":
                output.end(always_stop=True)
    return sent, told, output


@given(ACTIONS)
def test_the_order_of_the_protocol_holds(actions: list[str]) -> None:
    sent, told, output = perform([*actions, "end", "start", "audio", "heard", "stop"])
    assert sent.count(START) <= 1
    assert sent.count(STOP) <= 1
    assert sent.count(STOP) >= sent.count(START)
    if STOP in sent:
        assert sent.index(STOP) == len(sent) - 1
    if b"opus" in sent:
        assert sent.index(START) < sent.index(b"opus")
    assert told.count("started") == sent.count(START)
    assert told.count("stopped") == 1
    assert output.phase is Phase.OVER


def test_an_aborted_turn_that_never_spoke_is_stopped_all_the_same() -> None:
    assert perform(["heard", "abort"])[0] == [HEARD, STOP]


def test_a_turn_that_never_spoke_ends_in_silence() -> None:
    assert perform(["heard", "end"])[0] == [HEARD]
