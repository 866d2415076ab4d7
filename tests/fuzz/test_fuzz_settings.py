"""Any settings file and any environment: settings, or faults that a person can read."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.promises import keep_environment_promise, keep_settings_promise
from xiaozhi_server.settings import Settings
from xiaozhi_server.settings.reference import REFERENCE_KEYS

EXAMPLES = settings(max_examples=150, deadline=None)

SECTIONS = [*Settings.model_fields, *sorted({key.path[0] for key in REFERENCE_KEYS})]
KEYS = st.sampled_from([*SECTIONS, "type", "api_key", "url", "enabled", "port", "format", "", "a.b", "timezone_offset"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["${HOME}", "${NOT_SET}", "${NOT_SET:-}", "你的", "auto", "openai", "\0", "../x", 10**400, "a\nb"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)
TREES = st.dictionaries(st.sampled_from(SECTIONS) | st.text(max_size=6), VALUES, max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings")


@EXAMPLES
@given(TREES)
@example({"server": {"timezone_offset": 10**400}})
@example({"server": {"timezone_offset": float("inf")}})
@example({"close_connection_no_voice_time": float("nan")})
@example({"close_connection_no_voice_time": 10**400})
@example({"log": {"log_level": "a\nb"}, "a\nb": 1})
@example({"agent": {"timezone": "\0"}})
@example({"agent": {"timezone": "x" * 5_000}})
def test_any_tree_makes_settings_or_faults(folder: Path, tree: dict[str, Any]) -> None:
    keep_settings_promise(yaml.safe_dump(tree, allow_unicode=True), folder)


@EXAMPLES
@given(st.text(max_size=200))
@example("a: &a [*a]")
@example("server: &a {x: *a}")
@example("a: 2001-13-45")
@example("a: !!int x")
@example("a: !!bool x")
@example("a: !!binary x")
@example("a: !!timestamp x")
@example("a: !!float x")
@example("a: !!set [x]")
@example("? [a, b]\n: c")
@example("? {a: b}\n: c")
@example("a: " + "9" * 5_000)
@example("[" * 5_000)
@example("- " * 5_000)
@example("a: {" * 300 + "}" * 300)
@example('a: "\\ud800"')
@example('"\\ud800": 1')
@example("<<: 1")
@example("<<: [1]")
@example("a: !!python/object:os.system x")
@example("%YAML 9.9\n---\na: 1")
@example("a: 1\n---\nb: 1")
@example("1:2:3: 4")
@example("b: 1:99999999999:1")
@example("\ufeffserver: {port: 1}")
def test_any_text_makes_settings_or_faults(folder: Path, text: str) -> None:
    keep_settings_promise(text, folder)


VARIABLES = st.lists(st.sampled_from([*SECTIONS, "port", "url", "", "x"]), min_size=1, max_size=4).map(
    lambda parts: "XIAOZHI__" + "__".join(parts).upper()
)


@EXAMPLES
@given(st.dictionaries(VARIABLES | st.just("XIAOZHI_PRESET"), st.text(max_size=12) | SCALARS.map(str), max_size=4))
@example({"XIAOZHI__SERVER": "[" * 5_000})
@example({"XIAOZHI__SERVER": "{" * 3_000})
@example({"XIAOZHI__SERVER__PORT": "9" * 5_000})
@example({"XIAOZHI__SERVER__PORT": "{a: 2001-13-45}"})
@example({"XIAOZHI__SERVER__PORT": "\udc80"})
@example({"XIAOZHI_PRESET": "../config"})
def test_any_environment_makes_settings_or_faults(folder: Path, variables: dict[str, str]) -> None:
    keep_environment_promise(variables, folder)
