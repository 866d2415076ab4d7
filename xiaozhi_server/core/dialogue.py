"""What was said in this session and what was really heard, within a token budget. Knows no model and no turn."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

DEFAULT_BUDGET_TOKENS = 4_000
# What a message costs beyond its words in the chat formats of the common models.
MESSAGE_OVERHEAD_TOKENS = 4
_FIRST_WIDE = "\u2e80"


@dataclass(frozen=True, slots=True)
class DialogueMessage:
    role: Literal["user", "assistant"]
    content: str
    tokens: int
    speaker: str | None = None


def estimate_tokens(text: str) -> int:
    """A cautious guess where no tokenizer is at hand: four Latin letters a token, one for each Chinese character."""
    wide = 0 if text.isascii() else sum(character >= _FIRST_WIDE for character in text)
    return wide + (len(text) - wide + 3) // 4


class Dialogue:
    """Whole exchanges leave at the old end as soon as the budget is exceeded; the newest message always stays."""

    def __init__(
        self, budget_tokens: int = DEFAULT_BUDGET_TOKENS, count_tokens: Callable[[str], int] = estimate_tokens
    ) -> None:
        self._budget = budget_tokens
        self._count = count_tokens
        self._messages: deque[DialogueMessage] = deque()
        self._used = 0

    @property
    def tokens(self) -> int:
        return self._used

    def add_user(self, text: str, speaker: str | None = None) -> None:
        """`speaker` is the name of the person, where the voice is known."""
        self._add("user", text, speaker)

    def add_assistant(self, heard: str) -> None:
        """Keep what was heard of an answer, which may be less than what was generated, or nothing."""
        if heard:
            self._add("assistant", heard)

    def messages(self) -> tuple[DialogueMessage, ...]:
        return tuple(self._messages)

    def _add(self, role: Literal["user", "assistant"], text: str, speaker: str | None = None) -> None:
        tokens = self._count(text if speaker is None else f"{speaker}: {text}") + MESSAGE_OVERHEAD_TOKENS
        message = DialogueMessage(role, text, tokens, speaker)
        self._messages.append(message)
        self._used += message.tokens
        while self._used > self._budget and len(self._messages) > 1:
            self._drop_oldest_exchange()

    def _drop_oldest_exchange(self) -> None:
        self._drop()
        while len(self._messages) > 1 and self._messages[0].role == "assistant":
            self._drop()

    def _drop(self) -> None:
        self._used -= self._messages.popleft().tokens
