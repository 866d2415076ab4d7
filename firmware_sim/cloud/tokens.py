"""How many tokens a text has, estimated: no model's own count, but never far from one."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PIECE = re.compile(r"[^\W\d_]+|\d+|[^\w\s]+|_+")
_WIDE = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
_LETTERS = 5  # of one token in the middle of a word
_DIGITS = 3
_SIGNS = 2
_PER_MESSAGE = 4  # what stands around each


def tokens_in(text: str) -> int:
    """A short word, three digits, two signs or one Chinese character each are one."""
    wide = len(_WIDE.findall(text))
    return wide + sum(_of_piece(piece) for piece in _PIECE.findall(_WIDE.sub(" ", text)))


def tokens_asked(body: Mapping[str, Any]) -> int:
    """Of the messages and tools of a request."""
    messages: Sequence[Mapping[str, Any]] = body.get("messages") or []
    texts = [_text(message.get("content")) for message in messages]
    tools = json.dumps(body["tools"], ensure_ascii=False) if body.get("tools") else ""
    return tokens_in(tools) + sum(tokens_in(text) + _PER_MESSAGE for text in texts)


def tokens_reserved(body: Mapping[str, Any]) -> int:
    """How long the answer may become: it has to fit into the context too."""
    return int(body.get("max_completion_tokens") or body.get("max_tokens") or 0)


def _of_piece(piece: str) -> int:
    size = _LETTERS if piece[0].isalpha() else _DIGITS if piece[0].isdigit() else _SIGNS
    return -(-len(piece) // size)


def _text(content: object) -> str:
    if isinstance(content, str) or content is None:
        return content or ""
    return json.dumps(content, ensure_ascii=False)
