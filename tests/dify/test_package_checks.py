"""The validator: it takes the package as it is, and none that is spoiled in any of the ways it knows."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dify_package.archive import packed
from dify_package.checks import CHECKS, Finding, problems
from dify_package.cli import main
from dify_package.package import UnreadableError, read_package
from dify_package.validate import is_good, validate
from tests.support.plugin_package import (
    Spoil,
    plugin_files,
    repacked,
    spoiled,
    whole_package,
    with_file,
    with_more,
    with_value,
    without,
)

MANIFEST, PROVIDER, TOOL = "manifest.yaml", "provider/mem0ai.yaml", "tools/add_memory.yaml"
TOOL_CODE, OURS = "tools/add_memory.py", "mem0_tools/__init__.py"


@pytest.mark.parametrize("name", CHECKS)
def test_the_package_is_good(name: str) -> None:
    assert problems(CHECKS[name], whole_package()) == ()


# More than fits, and nothing that could be packed smaller.
NOISE = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(65_000))


class Bad(NamedTuple):
    check: str
    spoil: Spoil
    said: str


def _manifest(*keys: str | int, value: Any) -> Spoil:
    return with_value(MANIFEST, *keys, value=value)


def _provider(*keys: str | int, value: Any) -> Spoil:
    return with_value(PROVIDER, *keys, value=value)


def _credential(name: str, field: str, value: Any) -> Spoil:
    return with_value(PROVIDER, "credentials_for_provider", name, field, value=value)


def _tool(*keys: str | int, value: Any) -> Spoil:
    return with_value(TOOL, *keys, value=value)


def _parameter(number: int, field: str, value: Any) -> Spoil:
    return with_value(TOOL, "parameters", number, field, value=value)


IDENTITY, TEXTS, RUNNER = (
    "manifest: version, author, name",
    "manifest: texts in every language",
    "manifest: runner",
)
ORIGIN, CREDENTIALS, SCHEMA = "manifest: created, privacy, repository", "provider: credentials", "tools: schema"
ONE_TOOL, STDOUT, IMPORTS = "code: one tool in a module", "code: nothing on stdout", "code: imports are installed"
SDK_APART, VERSIONS = "code: Dify's SDK only where the daemon starts", "requirements: versions"
SECRETS, PINNED, LISTS = "code: no secrets", "requirements: pinned", "requirements: both lists say the same"
OUTPUTS, UNWANTED, THERE = "tools: outputs", "zip: no caches, tests, keys", "zip: every file that is needed"

BAD = [
    Bad("zip: paths stay inside", with_file("../outside.py", ""), "leave the folder"),
    Bad("zip: paths stay inside", with_file("/etc/passwd", ""), "leave the folder"),
    Bad("zip: paths stay inside", with_file("tools\\..\\x.py", ""), "leave the folder"),
    Bad("zip: paths stay inside", with_file("C:/x.py", ""), "leave the folder"),
    Bad("zip: small enough", with_file("data.bin", NOISE), ""),
    Bad(THERE, without("README.md"), "README.md is missing"),
    Bad(THERE, with_file("PRIVACY.md", " \n"), "PRIVACY.md is missing or empty"),
    Bad(THERE, without("readme/README_zh_Hans.md"), "README_zh_Hans"),
    Bad(UNWANTED, with_file("tools/__pycache__/add_memory.cpython-312.pyc", ""), "does not belong"),
    Bad(UNWANTED, with_file("tests/test_x.py", ""), "tests/test_x.py"),
    Bad(UNWANTED, with_file("mem0_tools/test_x.py", ""), "test_x.py"),
    Bad(UNWANTED, with_file(".env", "A=1"), ".env"),
    Bad(UNWANTED, with_file(".git/config", ""), ".git/config"),
    Bad(UNWANTED, with_file(".venv/bin/python", ""), ".venv"),
    Bad(UNWANTED, with_file("private.pem", ""), "private.pem"),
    Bad(UNWANTED, with_file("xiaozhi_memory/mem0ai/embedding/minilm.py", ""), "minilm"),
    Bad(IDENTITY, _manifest("version", value="1.0"), "version"),
    Bad(IDENTITY, _manifest("version", value=1.0), "version"),
    Bad(IDENTITY, _manifest("version", value="v1.0.0"), "version"),
    Bad(IDENTITY, _manifest("type", value="bundle"), "type"),
    Bad(IDENTITY, _manifest("author", value="Somebody Else"), "author"),
    Bad(IDENTITY, _manifest("author", value="langgenius"), "only Dify's makers"),
    Bad(IDENTITY, _manifest("author", value="6f1f8b0e-3d5c-4f0a-9d8e-0c1b2a394857"), "UUID"),
    Bad(IDENTITY, _manifest("name", value="mem 0"), "name"),
    Bad(IDENTITY, with_more(MANIFEST, "version: 0.2.0\n"), "twice"),
    Bad(IDENTITY, with_file(MANIFEST, "a: [1"), "no YAML"),
    Bad(IDENTITY, with_file(MANIFEST, "- 1"), "no mapping"),
    Bad(IDENTITY, with_file(MANIFEST, b"\xff\xfe"), "no UTF-8"),
    Bad(IDENTITY, without(MANIFEST), "missing"),
    Bad(TEXTS, _manifest("label", "en_US", value=...), "nothing in en_US"),
    Bad(TEXTS, _manifest("label", "zh_Hans", value=" "), "nothing in zh_Hans"),
    Bad(TEXTS, _manifest("label", "xx_XX", value="?"), "no language xx_XX"),
    Bad(TEXTS, _manifest("description", "en_US", value="x" * 1024), "1024 characters"),
    Bad(TEXTS, _manifest("description", value="text"), "not a text in languages"),
    Bad(TEXTS, _manifest("tags", value=["memory"]), "memory"),
    Bad(RUNNER, _manifest("meta", "arch", value=[]), "arch"),
    Bad(RUNNER, _manifest("meta", "arch", value=["riscv"]), "riscv"),
    Bad(RUNNER, _manifest("meta", "version", value="one"), "meta.version"),
    Bad(RUNNER, _manifest("meta", "runner", "language", value="go"), "language"),
    Bad(RUNNER, _manifest("meta", "runner", "version", value="3.11"), "3.11"),
    Bad(RUNNER, _manifest("meta", "runner", "entrypoint", value="start"), "start"),
    Bad(RUNNER, _manifest("meta", value=...), "language"),
    Bad("manifest: resources", _manifest("resource", "memory", value=0), "memory"),
    Bad("manifest: resources", _manifest("resource", "memory", value="256M"), "memory"),
    Bad(
        "manifest: resources",
        _manifest("resource", "permission", value={"storage": {"enabled": True, "size": 1}}),
        "storage",
    ),
    Bad("manifest: one tool provider", _manifest("plugins", "tools", value=[PROVIDER, PROVIDER]), "exactly one"),
    Bad("manifest: one tool provider", _manifest("plugins", "models", value=["x.yaml"]), "models"),
    Bad(ORIGIN, _manifest("created_at", value="yesterday"), "created_at"),
    Bad(ORIGIN, _manifest("privacy", value="NONE.md"), "NONE.md"),
    Bad(ORIGIN, _manifest("repo", value="somewhere"), "repo"),
    Bad("icons", _manifest("icon", value="none.svg"), "none.svg"),
    Bad("icons", without("_assets/icon_dark.svg"), "icon_dark"),
    Bad("icons", _provider("identity", "icon", value="none.svg"), "none.svg"),
    Bad("icons", with_file("_assets/icon.svg", "<svg"), "no SVG"),
    Bad("icons", with_file("_assets/icon.svg", "<svg><script>1</script></svg>"), "runs or loads"),
    Bad("icons", with_file("_assets/icon.svg", '<svg onload="x()"/>'), "runs or loads"),
    Bad("icons", with_file("_assets/icon.svg", "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg/>"), "runs or loads"),
    Bad("icons", with_file("_assets/icon.svg", " " * 100_001), "too many"),
    Bad("provider", _provider("identity", "name", value="mem0 ai"), "name"),
    Bad("provider", _provider("identity", "author", value="else"), "author"),
    Bad("provider", _provider("identity", "label", "ja_JP", value=...), "ja_JP"),
    Bad("provider", _provider("extra", "python", "source", value="provider/none.py"), "none.py"),
    Bad("provider", without("provider/mem0ai.py"), "mem0ai.py"),
    Bad("provider", without(PROVIDER), "missing"),
    Bad("provider", _manifest("plugins", "tools", value=[]), "names no provider"),
    Bad(CREDENTIALS, _provider("credentials_for_provider", value=[]), "mapping"),
    Bad(CREDENTIALS, _credential("heartbeat_interval", "type", "number"), "number"),
    Bad(CREDENTIALS, _credential("heartbeat_interval", "default", 120), "also where it is a number"),
    Bad(CREDENTIALS, _credential("heartbeat_interval", "label", None), "label"),
    Bad(CREDENTIALS, _credential("heartbeat_interval", "required", "no"), "required"),
    Bad(CREDENTIALS, _credential("mem0_api_key", "type", "text-input"), "would be shown"),
    Bad(CREDENTIALS, _credential("local_llm_json_secret", "type", "text-input"), "would be shown"),
    Bad(CREDENTIALS, _credential("mem0_api_key", "default", "m0-1"), "no default"),
    Bad(CREDENTIALS, _credential("async_mode", "default", "true"), "neither true nor false"),
    Bad(CREDENTIALS, _credential("log_level", "default", "LOUD"), "LOUD"),
    Bad(CREDENTIALS, _credential("log_level", "options", []), "default"),
    Bad("tools: all of them", _provider("tools", value=[TOOL]), "search_memory is missing"),
    Bad("tools: all of them", _provider("tools", value=[]), "no tools"),
    Bad("tools: all of them", without("tools/forget_memories.yaml"), "forget_memories.yaml is missing"),
    Bad(SCHEMA, _tool("identity", "name", value="add memory"), "does not fit"),
    Bad(SCHEMA, _tool("identity", "name", value="add"), "what the file is called"),
    Bad(SCHEMA, _tool("identity", "author", value="else"), "author"),
    Bad(SCHEMA, _tool("description", "llm", value=""), "description.llm"),
    Bad(SCHEMA, _tool("description", "human", "pt_BR", value=...), "pt_BR"),
    Bad(SCHEMA, _tool("extra", "python", "source", value="tools/none.py"), "none.py"),
    Bad(SCHEMA, _parameter(0, "type", "text"), "text"),
    Bad(SCHEMA, _parameter(0, "form", "human"), "form"),
    Bad(SCHEMA, _parameter(0, "required", "yes"), "required"),
    Bad(SCHEMA, _parameter(0, "name", "user_id"), "2 times"),
    Bad(SCHEMA, _parameter(0, "name", "a b"), "does not fit"),
    Bad(SCHEMA, _parameter(0, "label", ...), "label"),
    Bad(SCHEMA, _parameter(0, "human_description", "x"), "human_description"),
    Bad(SCHEMA, _parameter(0, "llm_description", ...), "llm_description"),
    Bad(SCHEMA, _parameter(0, "default", 5), "no string"),
    Bad(SCHEMA, with_value("tools/search_memory.yaml", "parameters", 4, "default", value="5"), "no number"),
    Bad(SCHEMA, with_value("tools/search_memory.yaml", "parameters", 4, "default", value=0), "not between"),
    Bad(OUTPUTS, _tool("output_schema", "properties", "status", value=...), "no status"),
    Bad(OUTPUTS, _tool("output_schema", "properties", "text", value={"type": "string"}), "Dify's own"),
    Bad(OUTPUTS, _tool("output_schema", "properties", "results", value={"type": "array"}), "an array of what"),
    Bad(OUTPUTS, _tool("output_schema", "properties", "results", value={"type": "list"}), "list"),
    Bad("code: Python 3.12", with_more(TOOL_CODE, "\ndef broken(:\n"), "no Python 3.12"),
    Bad(ONE_TOOL, with_more(TOOL_CODE, "\nclass Second(Tool):\n    pass\n"), "exactly one"),
    Bad(ONE_TOOL, with_file(TOOL_CODE, "import json\n"), "none"),
    Bad(ONE_TOOL, with_more(TOOL_CODE, "\nfrom tools.get_memory import *\n"), "exactly one"),
    Bad(ONE_TOOL, with_more(TOOL_CODE, "\ndef broken(:\n"), "cannot be read"),
    Bad(ONE_TOOL, with_file("provider/mem0ai.py", "class Mem0: pass\n"), "ToolProvider"),
    Bad(STDOUT, with_more(TOOL_CODE, "\nprint(1)\n"), "print"),
    Bad(IMPORTS, with_more(OURS, "\nimport torch\n"), "torch"),
    Bad(IMPORTS, with_more(OURS, "\nfrom xiaozhi_server.core import dialogue\n"), "xiaozhi_server"),
    Bad(IMPORTS, with_more(OURS, "\ntry:\n    import tokenizers\nexcept ImportError:\n    pass\n"), "tokenizers"),
    Bad(SDK_APART, with_more(OURS, "\nimport dify_plugin\n"), "SDK"),
    Bad(SECRETS, with_more("CONFIG.md", "\n-----BEGIN " + "RSA PRIVATE KEY-----\n"), "CONFIG.md"),
    Bad(SECRETS, with_more(OURS, "\nKEY = 'sk-" + "a1" * 16 + "'\n"), "looks like a key"),
    Bad(PINNED, with_more("requirements.txt", "\nhttpx>=0.28\n"), "httpx>=0.28"),
    Bad(PINNED, with_more("requirements.txt", "\nx @ git+ssh://host/x.git\n"), "git+ssh"),
    Bad(PINNED, with_more("requirements.txt", "\n--index-url http://host/simple\n"), "index"),
    Bad(PINNED, with_more("requirements.txt", "\n-e .\n"), "-e ."),
    Bad(LISTS, with_more("requirements.txt", "\nzzz==1.0\n"), "lacks zzz"),
    Bad(LISTS, with_file("pyproject.toml", "[project]\nname = 'mem0'\n"), "lacks"),
    Bad(LISTS, with_file("pyproject.toml", "[project"), "pyproject.toml"),
    Bad(LISTS, _manifest("version", value="9.9.9"), "version is not the manifest's"),
    Bad("requirements: nothing heavy", with_more("requirements.txt", "\ntorch==2.9.0\n"), "torch"),
    Bad(VERSIONS, with_file("requirements.txt", "dify-plugin==0.8.1\nmem0ai==2.2.1\n"), "at least 0.9.0"),
    Bad(VERSIONS, with_file("requirements.txt", "dify-plugin==0.10.2\nmem0ai==1.0.11\n"), "2.x"),
    Bad("README: English, complete", with_more("README.md", "\n记忆\n"), "other languages go to readme/"),
    Bad("README: English, complete", with_file("README.md", "A plugin."), "tell nothing"),
    Bad("README: other languages", with_file("readme/README_CN.md", "x"), "README_CN.md"),
    Bad("PRIVACY", with_file("PRIVACY.md", "We keep nothing. " * 80), "nothing about embedding"),
    Bad("CHANGELOG, LICENSE", with_file("CHANGELOG.md", "# Changes\n"), "nothing about 0.1.0"),
    Bad("CHANGELOG, LICENSE", with_file("LICENSE", "All rights reserved"), "MIT"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=[f"{bad.check}-{number}" for number, bad in enumerate(BAD)])
def test_a_spoiled_package_is_refused(bad: Bad) -> None:
    package = repacked(bad.spoil) if bad.check.startswith("zip") else spoiled(bad.spoil)
    found = problems(CHECKS[bad.check], package)

    assert found
    assert any(bad.said in problem for problem in found), found


@pytest.mark.parametrize(
    "spoil",
    [
        with_file(MANIFEST, "created_at: 2026-13-28T00:00:00Z\n"),
        with_file(MANIFEST, "[" * 5000),
        _manifest("privacy", value=["PRIVACY.md"]),
        _manifest("repo", value="http://[nowhere"),
        _tool("identity", "name", value=["add_memory"]),
        _tool("parameters", 0, "name", value=["user"]),
        _tool("extra", "python", "source", value=[TOOL_CODE]),
        with_file("pyproject.toml", "[project]\ndependencies = [{a = 1}]\n"),
    ],
)
def test_whatever_stands_there_is_a_finding_and_no_crash(spoil: Spoil) -> None:
    package = spoiled(spoil)
    assert any(problems(rule, package) for rule in CHECKS.values())


def test_every_check_has_refused_something() -> None:
    by_hand = {"zip: order and bytes are fixed"}  # below: it takes a zip that our packing cannot make
    assert {bad.check for bad in BAD} | by_hand == set(CHECKS)


class TestZip:
    def _zip(self, *entries: tuple[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in entries:
                archive.writestr(path, content)
        return buffer.getvalue()

    def _order(self, data: bytes) -> list[str]:
        return list(CHECKS["zip: order and bytes are fixed"](read_package(data)))

    def test_what_is_no_zip_is_refused(self, tmp_path: Path) -> None:
        for data in (b"", b"PK", b"no zip at all", packed(plugin_files())[:-100]):
            (tmp_path / "x.difypkg").write_bytes(data)
            (finding,) = validate(tmp_path / "x.difypkg")
            assert not is_good([finding])
            assert "no zip" in finding.problems[0]

    def test_a_file_that_cannot_be_unpacked(self, tmp_path: Path) -> None:
        data = bytearray(packed({"a": bytes(range(256)) * 9}))
        data[31:91] = b"\xff" * 60
        (tmp_path / "x.difypkg").write_bytes(data)
        (finding,) = validate(tmp_path / "x.difypkg")
        assert "no zip" in finding.problems[0]

    def test_a_bomb_is_not_unpacked(self) -> None:
        with pytest.raises(UnreadableError, match="bytes unpacked"):
            read_package(self._zip(("zeros", bytes(52_428_801))))

    def test_a_path_that_is_there_twice(self) -> None:
        with pytest.warns(UserWarning, match="Duplicate name"):
            data = self._zip(("a", b"1"), ("a", b"2"))
        assert "2 times" in next(iter(CHECKS["zip: paths stay inside"](read_package(data))))

    def test_files_in_another_order(self) -> None:
        assert any("not sorted" in problem for problem in self._order(self._zip(("b", b""), ("a", b""))))

    def test_entries_for_folders(self) -> None:
        assert any("folders" in problem for problem in self._order(self._zip(("a/", b""), ("a/b", b""))))

    def test_a_zip_that_tells_when_it_was_made(self) -> None:
        assert self._order(self._zip(("a", b""))) == ["packing the same files again gives other bytes"]


class TestCommand:
    def test_prints_a_line_for_each_check(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "mem0.difypkg"
        path.write_bytes(packed(plugin_files()))

        assert main(["validate", str(path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.removeprefix("ok   ") for line in lines] == list(CHECKS)

    def test_says_what_is_bad_and_fails(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "mem0.difypkg"
        path.write_bytes(repacked(without("LICENSE")).data)

        assert main(["validate", str(path)]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[lines.index("BAD  zip: every file that is needed") + 1].strip() == "LICENSE is missing or empty"

    def test_an_unreadable_zip_is_one_finding(self, tmp_path: Path) -> None:
        path = tmp_path / "mem0.difypkg"
        path.write_bytes(b"")
        assert [type(finding) for finding in validate(path)] == [Finding]
