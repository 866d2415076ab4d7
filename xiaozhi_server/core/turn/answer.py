"""From the deltas of a model to what can be spoken: thoughts and code out, the face found, cut into clean pieces.

Knows only text; bounded, since a model may go on for ever.
"""

from .emotion import Face, find_face
from .hidden import HiddenBlocks
from .sentences import FIRST_WIDE, Sentences
from .speakable import speakable


class AnswerText:
    """Feed it the deltas; it returns the pieces to be spoken. `face` is there once the answer has shown one."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._taken = 0
        self._hidden = HiddenBlocks()
        self._sentences = Sentences()
        self.face: Face | None = None

    @property
    def is_full(self) -> bool:
        """Enough was said; what follows is ignored. Hidden text counts: thinking must end too."""
        return self._taken >= self._max_chars

    def feed(self, delta: str) -> list[str]:
        delta = delta[: max(0, self._max_chars - self._taken)]
        self._taken += len(delta)
        visible = self._hidden.feed(delta)
        return self._cut(visible) if visible else []

    def finish(self) -> list[str]:
        return self._cut(self._hidden.finish()) + _spoken(self._sentences.finish())

    def _cut(self, visible: str) -> list[str]:
        if self.face is None:
            self.face = find_face(visible)
        return _spoken(self._sentences.feed(visible))


def _spoken(pieces: list[str]) -> list[str]:
    return [text for piece in pieces if (text := speakable(piece))]


def cut_whole(text: str) -> tuple[list[str], Face | None]:
    """A text that is there at once, cut like one that streams."""
    answer = AnswerText(len(text))
    pieces = answer.feed(text) + answer.finish()
    return pieces, answer.face


def join_heard(pieces: list[str]) -> str:
    """Pieces as one text again: a space between them where the language writes one."""
    joined = ""
    for piece in pieces:
        wants_space = joined and joined[-1] < FIRST_WIDE and piece[:1] < FIRST_WIDE
        joined += f" {piece}" if wants_space else piece
    return joined
