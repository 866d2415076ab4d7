"""What is built, and that the same comes out again."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from dify_package.archive import packed, unpacked
from dify_package.build import MAX_BYTES, PackageTooLargeError, build, identifier
from dify_package.checks.requirement_rules import pins
from dify_package.checksum import checksum
from dify_package.cli import main
from dify_package.contents import MEMORY, PLUGIN, collect
from dify_package.ignore import ignored_by
from dify_package.validate import validate
from tests.support.plugin_package import plugin_files, unpack


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


class TestWhatIsBuilt:
    def test_the_same_sources_give_the_same_bytes(self, built: Path, tmp_path: Path) -> None:
        assert build(tmp_path).read_bytes() == built.read_bytes()

    def test_it_is_named_after_plugin_and_version(self, built: Path) -> None:
        assert built.name == "mem0-0.1.0.difypkg"

    def test_it_is_small(self, built: Path) -> None:
        assert built.stat().st_size < MAX_BYTES

    def test_what_is_too_large_is_not_written(self, tmp_path: Path) -> None:
        plugin = tmp_path / "plugin"
        unpack({path: content for path, content in plugin_files().items() if "/" not in path}, plugin)
        (plugin / ".difyignore").write_text("")
        (plugin / "large.bin").write_bytes(b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(90_000)))

        with pytest.raises(PackageTooLargeError, match=r"large\.bin"):
            build(tmp_path / "out", plugin=plugin)

        assert not (tmp_path / "out").exists()

    def test_the_command_says_what_the_daemon_will_call_it(
        self, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["build", "--out", str(tmp_path)]) == 0

        said = capsys.readouterr().out
        assert identifier(unpacked(built.read_bytes())) in said
        assert "xiaozhi-server/mem0:0.1.0@" in said


class TestWithMilvus:
    def test_it_is_another_version_with_more_requirements_and_the_same_files(self, built: Path, tmp_path: Path) -> None:
        plain = unpacked(built.read_bytes())

        path = build(tmp_path, variant="milvus")

        assert path.name == "mem0-0.1.0-milvus.difypkg"
        other = unpacked(path.read_bytes())
        changed = {name for name in other if other[name] != plain.get(name)}
        assert other.keys() == plain.keys()
        assert changed == {"manifest.yaml", "pyproject.toml", "requirements.txt"}
        assert "pymilvus" in pins(other["requirements.txt"].decode())
        assert "pymilvus" not in pins(plain["requirements.txt"].decode())

    def test_where_both_need_something_it_is_the_same_version(self, built: Path, tmp_path: Path) -> None:
        plain = pins(unpacked(built.read_bytes())["requirements.txt"].decode())
        other = pins(unpacked(build(tmp_path, variant="milvus").read_bytes())["requirements.txt"].decode())
        assert {name: other.get(name) for name in plain} == plain

    def test_it_passes_the_same_checks(self, tmp_path: Path) -> None:
        assert [found for found in validate(build(tmp_path, variant="milvus")) if found.problems] == []


class TestWhatGoesIn:
    def test_the_memory_package_is_there_as_real_files(self, built: Path) -> None:
        files = unpacked(built.read_bytes())
        for path in ("mem0ai/engine.py", "mem0ai/migrations/0001_memory.sql", "mem0ai/facts/instruction.txt"):
            assert files[f"xiaozhi_memory/{path}"] == (MEMORY / path).read_bytes()

    def test_the_embedded_model_is_left_out(self, built: Path) -> None:
        assert not [path for path in unpacked(built.read_bytes()) if "minilm" in path]

    def test_caches_keys_and_the_rules_themselves_stay_behind(self, tmp_path: Path) -> None:
        unwanted = {
            "mem0_tools/__pycache__/x.cpython-311.pyc": b"",
            "tests/test_x.py": b"",
            ".env": b"KEY=1",
            "sign.pem": b"",
            ".venv/bin/python": b"",
            "debug.log": b"",
        }
        unpack({**unwanted, "main.py": b"", ".difyignore": (PLUGIN / ".difyignore").read_bytes()}, tmp_path)
        (tmp_path / "memory").mkdir()

        assert list(collect(tmp_path, tmp_path / "memory")) == ["main.py"]

    def test_the_vendored_memory_loads_where_there_is_no_server(self, tmp_path: Path) -> None:
        """Not from this checkout: the interpreter sees the unpacked package and what is installed."""
        unpack(plugin_files(), tmp_path)
        program = (
            "import sys; sys.path.insert(0, '.')\n"
            "import xiaozhi_memory.mem0ai.engine, xiaozhi_memory.mem0ai.self_hosted\n"
            "import xiaozhi_memory.mem0ai.platform.engine\n"
            "unwanted = {'xiaozhi_server', 'mem0', 'onnxruntime', 'onnx', 'tokenizers'}\n"
            "print(xiaozhi_memory.__file__, sorted({name.split('.')[0] for name in sys.modules} & unwanted))"
        )
        run = subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True)

        assert run.stderr == ""
        assert run.stdout.strip() == f"{tmp_path / 'xiaozhi_memory' / '__init__.py'} []"

    def test_the_folder_never_hides_the_sdk(self) -> None:
        assert not (PLUGIN / "__init__.py").exists()

    def test_in_a_checkout_the_name_leads_to_the_memory_package(self) -> None:
        assert (PLUGIN / "xiaozhi_memory").resolve() == MEMORY


FILES = {"b/x.txt": b"two", "a.txt": b"one", "é.txt": b"three"}


class TestChecksum:
    def test_it_is_over_sorted_paths_and_contents(self) -> None:
        parts = []
        for path in ("a.txt", "b/x.txt", "é.txt"):
            parts += [hashlib.sha256(path.encode()).digest(), hashlib.sha256(FILES[path]).digest()]
        assert checksum(FILES) == hashlib.sha256(b"".join(parts)).hexdigest()

    def test_the_order_in_the_zip_does_not_matter(self) -> None:
        turned = dict(reversed(FILES.items()))
        assert checksum(unpacked(packed(turned))) == checksum(FILES)

    def test_a_moved_border_between_path_and_content_shows(self) -> None:
        assert checksum({"ab": b"c"}) != checksum({"a": b"bc"})


class TestIgnore:
    @pytest.mark.parametrize(
        ("rule", "path", "ignored"),
        [
            ("*.pyc", "a/b/x.pyc", True),
            ("*.pyc", "a/b/x.py", False),
            ("__pycache__/", "a/__pycache__/x.py", True),
            ("__pycache__/", "a/__pycache__", False),
            (".env", ".env", True),
            (".env", ".environment", False),
            (".venv*/", ".venv-3.12/bin/python", True),
            ("/main.py", "main.py", True),
            ("/main.py", "tools/main.py", False),
            ("a/*.py", "a/x.py", True),
            ("a/*.py", "a/b/x.py", False),
            ("a/**/x.py", "a/b/c/x.py", True),
            ("a/**/x.py", "a/x.py", True),
            ("a/**", "a/b/c", True),
            ("[xy].py", "x.py", True),
            ("[!xy].py", "z.py", True),
            ("[!xy].py", "x.py", False),
            ("x?.py", "x1.py", True),
            ("# *.py", "a.py", False),
            ("", "a.py", False),
        ],
    )
    def test_a_rule_meets_what_gits_would(self, rule: str, path: str, ignored: bool) -> None:
        assert ignored_by([rule])(path) is ignored

    def test_a_later_rule_takes_back_an_earlier(self) -> None:
        ignored = ignored_by(["*.txt", "!keep.txt"])
        assert ignored("a/drop.txt")
        assert not ignored("a/keep.txt")
