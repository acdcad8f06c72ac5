"""Worker scripts run in interpreters older than ours, and with nothing but the standard library."""

import ast
import sys
from pathlib import Path

import pytest

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
