"""The small tree of errors that a turn can meet. Each has a code, a stage and whether trying again helps."""

from typing import Literal

Stage = Literal["hearing", "asr", "recall", "llm", "tts", "playback", "record"]


class TurnError(Exception):
    """Something failed in one stage of a turn. Its text is for the log: it never holds what a person said."""

    def __init__(self, stage: Stage, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(f"{stage}: {message}")
        self.stage = stage
        self.code = code
        self.retryable = retryable


class StageTimeoutError(TurnError):
    """A stage took longer than its deadline."""

    def __init__(self, stage: Stage, deadline_s: float) -> None:
        super().__init__(stage, "timeout", f"no answer within {deadline_s:g} s", retryable=True)


class ProviderFailedError(TurnError):
    """A provider raised. Only the kind of its error is kept: its text may quote the request."""

    def __init__(self, stage: Stage, cause: BaseException) -> None:
        super().__init__(stage, "provider_failed", type(cause).__name__, retryable=True)


class NonsenseError(TurnError):
    """A provider answered, but with nothing that can be used."""

    def __init__(self, stage: Stage, what: str) -> None:
        super().__init__(stage, "nonsense", what)
