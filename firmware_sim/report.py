"""What is said at the end of a run: one reply in a line, a whole run in a few. It only formats."""

import statistics
from collections.abc import Sequence
from typing import Any

from firmware_sim.device import Reply, SimulatedDevice


def reply_line(reply: Reply) -> str:
    """The figures of one reply."""
    timings = reply.timings
    parts = [
        f"first sound after {_ms(timings.first_sound_s)}",
        f"{reply.duration_s:.1f} s in {reply.frames} frames",
        f"{reply.underruns} underruns",
    ]
    if reply.overflows or reply.unplayable or reply.dropped:
        parts.append(f"{reply.overflows} overflows, {reply.unplayable} unplayable, {reply.dropped} dropped")
    if reply.emotion:
        parts.append(f"face {reply.emotion}")
    return " · ".join(parts)


def run_report(device: SimulatedDevice, replies: Sequence[Reply]) -> dict[str, Any]:
    """The figures of a whole run."""
    first_sounds = [reply.timings.first_sound_s for reply in replies if reply.timings.first_sound_s is not None]
    return {
        "device": device.identity.mac,
        "session": device.session_id,
        "turns": len(replies),
        "frames": sum(reply.frames for reply in replies),
        "underruns": sum(reply.underruns for reply in replies),
        "overflows": sum(reply.overflows for reply in replies),
        "dropped_frames": device.dropped_frames,
        "first_sound_median_ms": round(statistics.median(first_sounds) * 1000, 1) if first_sounds else None,
        "violations": list(device.violations),
        "crashed": str(device.crashed) if device.crashed else None,
    }


def run_lines(report: dict[str, Any]) -> list[str]:
    median = report["first_sound_median_ms"]
    lines = [
        f"{report['turns']} turns, session {report['session'] or '-'}, device {report['device']}",
        f"{report['frames']} frames heard, {report['underruns']} underruns, {report['overflows']} overflows, "
        f"{report['dropped_frames']} dropped; first sound (median) {'-' if median is None else f'{median:.0f} ms'}",
    ]
    lines += [f"noted: {violation}" for violation in report["violations"]]
    if report["crashed"]:
        lines.append(f"real hardware would have crashed: {report['crashed']}")
    return lines


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"
