"""Which voice speaks which text."""

import pytest

from xiaozhi_server.core.providers.tts.espeak_voices import voice_for


@pytest.mark.parametrize(
    ("text", "language", "voice"),
    [
        ("Hello.", None, "en"),
        ("Hello.", "en-GB", "en"),
        ("Hello.", "en_US", "en-us"),
        ("Guten Tag.", "de-AT", "de"),
        ("Olá.", "pt-BR", "pt-br"),
        ("你好。", None, "cmn"),
        ("你好。", "en", "cmn"),
        ("你好。", "zh-TW", "cmn"),
        ("你好。", "zh-HK", "yue"),
        ("今日は晴れ", "en", "ja"),
        ("東京", "ja", "ja"),
        ("안녕하세요", None, "ko"),
        ("Привет", None, "ru"),
        ("Привіт", "uk", "uk"),
        ("你好, world", "en", "cmn"),
        ("Hello.", "zh-CN", "en"),
        ("42", "zh-CN", "cmn"),
        ("42", "xx", "en"),
        ("42", None, "en"),
        ("Hello.", "tlh", "en"),
        ("", "zh", "cmn"),
    ],
)
def test_the_script_decides_then_the_hint(text: str, language: str | None, voice: str) -> None:
    assert voice_for(text, language) == voice
