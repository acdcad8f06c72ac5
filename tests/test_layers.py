"""Imports go down only, and the machine is touched through three doors."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "envcheck"
LEVELS = {
    "model": 0,
    "locale": 0,
    "catalogue": 1,
    "probes": 2,
    "diagnosis": 2,
    "recommend": 2,
    "gradients": 2,
    "render": 2,
    "commands": 3,
    "cli": 4,
    "__main__": 5,
}
"""Rooms; a room imports itself and rooms of a lower level."""
PURE_PARSERS = "envcheck.diagnosis.evidence"
"""Text in, values out: probes may use them."""
DOORS = {
    "envcheck/probes/system.py",
    "envcheck/probes/child.py",
    "envcheck/probes/headstart.py",
    "envcheck/probes/launch.py",
    "envcheck/probes/web.py",
}
BEHIND_DOORS = {"subprocess", "socket", "urllib", "http", "ssl", "ctypes", "multiprocessing", "asyncio"}
PURE = "urllib.parse"
"""Text in, text out."""
BEHIND_DOORS_OF_OS = {"environ", "environb", "getenv", "putenv", "system", "popen", "fork", "posix_spawn", "startfile"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "workers" not in path.parts)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_of(path: Path) -> Iterator[str]:
    """Full names of the modules and members that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    """The room of `envcheck.room.module`; None for envcheck itself and for other packages."""
    parts = module.split(".")
    return parts[1] if parts[0] == "envcheck" and len(parts) > 1 and parts[1] in LEVELS else None


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    own = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for module in imports_of(path):
        room = room_of(module)
        if room is None or room == own:
            continue
        if own == "probes" and module.startswith(PURE_PARSERS):
            continue
        assert own is not None, f"{name_of(path)} imports {module}"
        assert LEVELS[room] < LEVELS[own], f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path) not in DOORS], ids=name_of)
def test_only_the_doors_touch_the_machine(path: Path) -> None:
    behind = {module.split(".")[0] for module in imports_of(path) if not module.startswith(PURE)}
    assert not behind & BEHIND_DOORS
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in BEHIND_DOORS_OF_OS, f"{name_of(path)}:{node.lineno}: os.{node.attr}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_torch_is_imported_by_workers_only(path: Path) -> None:
    assert "torch" not in {module.split(".")[0] for module in imports_of(path)}


def test_every_room_has_its_level() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms - {"workers"} <= LEVELS.keys()


def test_nothing_needs_what_lies_beside_the_project() -> None:
    beside = "../" + "shared"
    folders = [PACKAGE, ROOT / "tests", ROOT / "tools", ROOT / "docs", ROOT / "mirrors", ROOT / "benchmarks"]
    texts = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".md", ".toml", ".po")]
    assert not [name_of(path) for path in [*texts, *ROOT.glob("*.md")] if beside in path.read_text("utf-8")]
