"""What can go wrong for the device, as one small tree of errors.

It knows no transport and no message: the other modules raise these.
"""


class FirmwareError(Exception):
    """Something went wrong between the device and its server."""


class BootError(FirmwareError):
    """The OTA request or the activation did not succeed, so there is no voice channel."""


class ConnectError(FirmwareError):
    """The websocket could not be opened."""


class HelloTimeoutError(FirmwareError):
    """The server did not greet within ten seconds."""


class ChannelClosedError(FirmwareError):
    """The voice channel is gone: closed by the server, lost, or never opened."""


class UnansweredError(ChannelClosedError):
    """The voice channel went away before the server began to answer: it may be said again."""


class MessageTooLongError(FirmwareError):
    """The device does not send a message of this size: it alarms and goes idle."""


class NoReplyError(FirmwareError):
    """The server did not finish a reply in time."""


class DeviceCrashError(FirmwareError):
    """The server sent something that reboots or freezes real hardware."""
