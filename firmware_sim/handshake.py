"""How the voice channel opens: the headers of the upgrade, the device's hello, and what it takes from the server's.

No I/O; the device sends and receives them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from firmware_sim.bootstrap import Identity, Storage
from firmware_sim.errors import DeviceCrashError
from firmware_sim.reply import can_decode


@dataclass(frozen=True, slots=True)
class Habits:
    """How this device differs from the next one."""

    frame_ms: int = 60
    mcp: bool = True
    aec: bool = False
    warm_up_s: float = 0.12
    mic_speed: float = 1.0  # above 1: tests that do not want to talk in real time
    main_task_delay_s: float = 0.0  # how long a JSON message waits for the main task while audio is taken at once
    hello_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class SessionParams:
    """What a hello sets; what it leaves out stays as the last session left it."""

    session_id: str = ""
    sample_rate: int = 24_000
    frame_ms: float = 60


def upgrade_headers(identity: Identity, storage: Storage) -> dict[str, str]:
    headers = {
        "Client-Id": identity.client_id,
        "Device-Id": identity.mac,
        "Protocol-Version": str(storage.version()),
    }
    token = storage.token()
    if token:
        headers["Authorization"] = token if " " in token else f"Bearer {token}"
    return headers


def device_hello(habits: Habits, version: int) -> dict[str, Any]:
    features = {"aec": True} if habits.aec else {}
    if habits.mcp:
        features["mcp"] = True
    return {
        "type": "hello",
        "version": version,
        "features": features | {"glyph_push": False},
        "transport": "websocket",
        "audio_params": {
            "format": "opus",
            "sample_rate": 16_000,
            "channels": 1,
            "frame_duration": habits.frame_ms,
        },
    }


def is_for_websocket(hello: Mapping[str, Any]) -> bool:
    """Whether the server's hello counts; real hardware follows a null pointer when it names no transport."""
    transport = hello.get("transport")
    if not isinstance(transport, str):
        raise DeviceCrashError("the hello has no transport string")
    return transport == "websocket"


def session_params(hello: Mapping[str, Any], before: SessionParams) -> SessionParams:
    session_id = hello.get("session_id")
    params = hello.get("audio_params")
    if isinstance(session_id, str):
        before = replace(before, session_id=session_id)
    if not isinstance(params, dict):
        return before
    return replace(
        before,
        sample_rate=int(_number(params.get("sample_rate"), before.sample_rate)),
        frame_ms=_number(params.get("frame_duration"), before.frame_ms),
    )


def undecodable(params: SessionParams) -> str | None:
    """Why the device would stay silent with these, if it would."""
    if can_decode(params.sample_rate, params.frame_ms):
        return None
    return f"no decoder for {params.sample_rate} Hz in frames of {params.frame_ms:g} ms"


def _number(value: object, otherwise: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return otherwise
    return value
