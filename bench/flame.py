"""Draws stacks as a flame graph: each function as wide as it was often met, upon whatever called it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

_WIDE, _HIGH = 1600.0, 17
_NARROWEST = 0.5  # what is smaller cannot be seen
_LETTER = 7.0
_HUES = (15, 28, 40, 52)


@dataclass(slots=True)
class _Frame:
    name: str
    met: int = 0
    called: "dict[str, _Frame]" = field(default_factory=dict)


def flame_graph(stacks: str) -> str:
    """An SVG of lines `outermost;…;innermost samples`; pointing at a function tells its name and share."""
    whole = _tree(stacks)
    boxes = list(_boxes(whole, max(whole.met, 1), 0.0, 0))
    height = (1 + max(level for _, level in boxes)) * _HIGH
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE:.0f}" height="{height}" font-family="monospace"'
    return "\n".join([f'{head} font-size="11">', *(box for box, _ in boxes), "</svg>", ""])


def _tree(stacks: str) -> _Frame:
    whole = _Frame("all")
    for stack in stacks.splitlines():
        frames, _, samples = stack.rpartition(" ")
        whole.met += int(samples)
        at = whole
        for name in frames.split(";"):
            at = at.called.setdefault(name, _Frame(name))
            at.met += int(samples)
    return whole


def _boxes(frame: _Frame, whole: int, left: float, level: int) -> Iterator[tuple[str, int]]:
    width = _WIDE * frame.met / whole
    if width < _NARROWEST and level:
        return
    yield _box(frame, frame.met / whole, left, width, level), level
    for called in sorted(frame.called.values(), key=lambda one: one.name):
        yield from _boxes(called, whole, left, level + 1)
        left += _WIDE * called.met / whole


def _box(frame: _Frame, share: float, left: float, width: float, level: int) -> str:
    shown = frame.name[: int(width / _LETTER)]
    top, hue = level * _HIGH, _HUES[sum(map(ord, frame.name)) % len(_HUES)]
    return (
        f"<g><title>{escape(frame.name)} {share:.1%}</title>"
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_HIGH - 1}" fill="hsl({hue},80%,65%)"/>'
        f'<text x="{left + 2:.1f}" y="{top + 12}">{escape(shown)}</text></g>'
    )
