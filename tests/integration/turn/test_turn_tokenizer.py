"""A tokenizer whose cache is broken: tiktoken tries to fetch its encoding, reaches nobody, and estimates serve."""

import hashlib
from pathlib import Path

import pytest

from xiaozhi_server.core.turn.tokens import ENCODINGS, TokenCounter, cached_encoding

NOBODY = "http://127.0.0.1:9"


async def test_a_broken_cache_is_answered_by_estimates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, NOBODY)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    name, address = next(iter(ENCODINGS.items()))
    (tmp_path / hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()).write_text("garbage")
    assert cached_encoding() == name
    counter = TokenCounter()
    assert await counter.load(deadline_s=60.0) is False
    assert counter("word") == 1
