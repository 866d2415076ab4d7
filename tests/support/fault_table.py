"""A table of faults: what was broken, what the device heard, after how long. It measures nothing itself."""

from dataclasses import dataclass, field

from firmware_sim.device import Reply

HEAD = ("what fails", "how", "heard by the device", "first sound", "free again")


@dataclass(slots=True)
class FaultTable:
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, what: str, how: str, reply: Reply) -> None:
        heard = " / ".join([*reply.sentences, *(f"[shown] {alert}" for alert in reply.alerts)]) or "nothing"
        times = reply.timings
        self.add_text(what, how, heard, _seconds(times.first_sound_s), _seconds(times.stop_s))

    def add_text(self, what: str, how: str, heard: str, first_sound: str = "", free_again: str = "") -> None:
        self.rows.append((what, how, heard, first_sound, free_again))

    def text(self) -> str:
        lines = [HEAD, tuple("---" for _ in HEAD), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f} s"
