"""What can go wrong with the platform. No error quotes a key or what somebody said."""


class PlatformError(Exception):
    """`may_have_worked`: the request may have had its effect although nobody knows. `pause_s`: what was asked for."""

    may_have_worked = False
    pause_s = 0.0


class PlatformAwayError(PlatformError):
    """No answer, or one that makes no sense."""

    def __init__(self, what: str, *, may_have_worked: bool, pause_s: float = 0.0) -> None:
        super().__init__(what)
        self.may_have_worked = may_have_worked
        self.pause_s = pause_s


class PlatformBusyError(PlatformError):
    """Too many requests: none of them was done."""

    def __init__(self, pause_s: float) -> None:
        super().__init__("too many requests")
        self.pause_s = pause_s


class PlatformRefusedError(PlatformError):
    """The key is not good, or not good for this."""


class PlatformRejectedError(PlatformError):
    """The platform works and does not take this request."""


class PlatformUnknownError(PlatformRejectedError):
    """The platform has nothing with this id."""


class UnknownEventError(PlatformRejectedError):
    """The platform does not know this event, or not any more."""


class ExtractionFailedError(PlatformError):
    """The platform took a request and could not make memories of it."""


class StillPendingError(PlatformError):
    """The platform took a request and has not made memories of it yet."""

    may_have_worked = True
