"""Worker scripts run in interpreters older than ours, and with nothing but the standard library."""

import ast
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import envcheck

WORKERS = sorted(
    path for path in (Path(envcheck.__file__).parent / "workers").glob("*.py") if path.name != "__init__.py"
)
OWN = {path.stem for path in WORKERS}


@pytest.mark.parametrize("path", WORKERS, ids=lambda path: path.name)
def test_the_syntax_of_python_3_7(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 7))
    newer = (ast.NamedExpr, ast.Match, ast.TryStar) if sys.version_info >= (3, 11) else (ast.NamedExpr, ast.Match)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]


@pytest.mark.parametrize("path", WORKERS, ids=lambda path: path.name)
def test_the_standard_library_and_torch_only(path: Path) -> None:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names <= sys.stdlib_module_names | OWN | {"torch"}


@pytest.mark.parametrize("name", ["target.py", "target_files.py", "target_torch.py"])
def test_the_look_at_a_target_compiles_in_much_older_pythons(name: str) -> None:
    """No f-strings, no annotations, no keyword-only arguments: an old Python is described, not stumbled over."""
    path = next(path for path in WORKERS if path.name == name)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        assert not isinstance(node, (ast.JoinedStr, ast.AnnAssign, ast.Nonlocal, ast.YieldFrom, ast.AsyncFor))
        if isinstance(node, ast.FunctionDef):
            assert not node.args.kwonlyargs
            assert node.returns is None


@pytest.fixture(scope="module")
def as_json(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[object], str]]:
    """The encoder of the look at a target, imported as that look is started: from a directory of its own."""
    folder = tmp_path_factory.mktemp("worker")
    (folder / "events.jsonl").touch()
    for name in ("target.py", "target_files.py"):
        shutil.copy(next(path for path in WORKERS if path.name == name), folder)
    spec = importlib.util.spec_from_file_location("target", folder / "target.py")
    assert spec is not None
    assert spec.loader is not None
    module, path = importlib.util.module_from_spec(spec), sys.path[:]
    spec.loader.exec_module(module)
    yield module.as_json
    os.close(module.events)
    sys.path[:] = path
    del sys.modules["target_files"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(VALUES)
def test_events_are_json_in_ascii(as_json: Callable[[object], str], value: object) -> None:
    text = as_json(value)
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text) == value


@pytest.mark.parametrize(
    "value", ["\udc80 of a file name", "'both\" kinds'", "back\\slash", "\x7f\x00\u2028", "\U0001f600"]
)
def test_events_hold_what_a_hostile_name_holds(as_json: Callable[[object], str], value: str) -> None:
    assert json.loads(as_json([value])) == [value]


def test_no_infinity_in_json(as_json: Callable[[object], str]) -> None:
    assert as_json([float("inf"), float("-inf"), float("nan"), 1.5, True]) == "[null, null, null, 1.5, true]"
