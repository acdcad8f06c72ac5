"""Which environment is examined, and what is said when there is none."""

import os
import sys
from pathlib import Path

import pytest

from envcheck.model.errors import EnvcheckError
from envcheck.probes.collect import Options, collect
from envcheck.probes.interpreter import choose, pip_python
from envcheck.probes.system import System

REAL = os.path.realpath(sys.executable)


def executable(path: Path, text: str = "#!/bin/sh\nexit 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def environment(folder: Path, torch: str | None = None, version: str = "3.12.1", marks: tuple[str, ...] = ()) -> str:
    """A virtual environment as far as files show it."""
    python = executable(folder / "bin/python")
    (folder / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}\n")
    site = folder / f"lib/python{'.'.join(version.split('.')[:2])}/site-packages"
    site.mkdir(parents=True)
    if torch:
        (site / "torch").mkdir()
        (site / "torch/__init__.py").touch()
        (site / "torch/version.py").write_text(f"__version__ = '{torch}'\n")
    for mark in marks:
        (folder / mark).touch()
    return str(python)


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def test_an_active_environment_comes_first(tmp_path: Path) -> None:
    active = environment(tmp_path / "active")
    conda = environment(tmp_path / "conda", torch="2.5.1")
    local = environment(tmp_path / "work/.venv", torch="2.6.0")
    own = environment(tmp_path / "own", torch="2.7.0")
    on_path = str(executable(tmp_path / "bin/python"))
    environ = {"VIRTUAL_ENV": f"{tmp_path}/active", "CONDA_PREFIX": f"{tmp_path}/conda", "PATH": f"{tmp_path}/bin"}
    choice = choose(System(environ=environ), own=own)
    assert (choice.path, choice.chosen_by) == (active, "VIRTUAL_ENV")
    assert [(c.path, c.chosen_by, c.has_torch, c.torch_version) for c in choice.candidates] == [
        (active, "VIRTUAL_ENV", False, None),
        (conda, "CONDA_PREFIX", True, "2.5.1"),
        (local, "./.venv", True, "2.6.0"),
        (on_path, "PATH", None, None),
        (own, "self", True, "2.7.0"),
    ]
    del environ["VIRTUAL_ENV"]
    assert choose(System(environ=environ), own=own).path == conda
    environ["CONDA_PREFIX"] = f"{tmp_path}/removed"
    assert choose(System(environ=environ), own=own).path == own
    assert choose(System(environ=environ), own=environment(tmp_path / "bare")).path == local


@pytest.mark.parametrize(
    ("marks", "by"), [((), "self"), (("uv-receipt.toml",), "PATH"), (("pipx_metadata.json",), "PATH")]
)
def test_our_own_counts_unless_it_is_a_tools(tmp_path: Path, marks: tuple[str, ...], by: str) -> None:
    own = environment(tmp_path / "own", marks=marks)
    executable(tmp_path / "bin/python3")
    assert choose(System(environ={"PATH": f"{tmp_path}/bin"}), own=own).chosen_by == by


def test_a_throw_away_environment_of_uv_is_a_tools(tmp_path: Path) -> None:
    own = environment(tmp_path / "uv/archive-v0/x1")
    executable(tmp_path / "bin/python3")
    assert choose(System(environ={"PATH": f"{tmp_path}/bin"}), own=own).chosen_by == "PATH"
    assert choose(System(environ={}), own=own).chosen_by == "self"


def test_no_interpreter_at_all() -> None:
    with pytest.raises(EnvcheckError, match="no Python interpreter"):
        choose(System(environ={}), own="")


def test_a_system_python_keeps_packages_in_two_places(tmp_path: Path) -> None:
    home = tmp_path / "home"
    python = executable(tmp_path / "opt/bin/python3.11")
    (tmp_path / "opt/bin/python3").symlink_to("python3.11")
    site = home / ".local/lib/python3.11/site-packages/torch"
    site.mkdir(parents=True)
    (site / "__init__.py").touch()
    (tmp_path / "opt/lib/python3.11/site-packages").mkdir(parents=True)
    (seen,) = choose(System(environ={"HOME": str(home)}), str(python.parent / "python3")).candidates
    assert (seen.version, seen.has_torch, seen.torch_version) == ("3.11", True, None)


def test_a_conda_environment_says_its_version(tmp_path: Path) -> None:
    python = executable(tmp_path / "c/bin/python")
    (tmp_path / "c/conda-meta").mkdir()
    (tmp_path / "c/conda-meta/python-3.10.13-h955ad1f_0.json").touch()
    (seen,) = choose(System(environ={}), str(python)).candidates
    assert seen.version == "3.10.13"


def test_what_python_may_name(tmp_path: Path) -> None:
    inside = environment(tmp_path / "work/env")
    named = str(executable(tmp_path / "bin/python3.12"))
    system = System(environ={"PATH": f"{tmp_path}/bin", "HOME": str(tmp_path)})
    for asked, path in {
        "env": inside,
        "./env": f"{tmp_path}/work/./env/bin/python",
        inside: inside,
        "env/bin/python": inside,
        "python3.12": named,
        "3.12": named,
        "~/bin/python3.12": named,
    }.items():
        chosen = choose(system, asked)
        assert (chosen.path, chosen.chosen_by) == (path, "--python")


def test_windows_layouts(tmp_path: Path) -> None:
    system = System(tmp_path, {"PATH": "C:\\bin"}, platform="win32")
    assert system.unrooted().windows
    executable(tmp_path / "venv/Scripts/python.exe")
    files = System(environ={}, platform="win32")
    with pytest.raises(EnvcheckError, match="no such interpreter"):
        choose(files, "C:\\nowhere\\python.exe")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("nope", "no such interpreter"),
        ("/nope/python", "no such interpreter"),
        ("", "no such interpreter"),
        ("a\0b", "no such interpreter"),
        ("/etc", "no Python environment in this directory"),
        ("/etc/passwd", "not an executable file"),
        ("/dev/null", "not an executable file"),
    ],
)
def test_what_is_not_there_or_no_interpreter(asked: str, message: str) -> None:
    with pytest.raises(EnvcheckError, match=message) as caught:
        choose(System(environ={"PATH": "/usr/bin"}), asked)
    assert caught.value.mend is not None
    assert caught.value.where


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\necho hello\n",
        "#!/bin/sh\nexit 3\n",
        "#!/no/such/python\n",
        "\x7fELF garbage",
        "#!/bin/sh\nkill -ABRT $$\n",
    ],
)
def test_a_program_that_is_no_interpreter(tmp_path: Path, environ: dict[str, str], text: str) -> None:
    program = executable(tmp_path / "program", text)
    with pytest.raises(EnvcheckError, match="not a Python interpreter, or one that cannot start") as caught:
        collect(System(environ=environ), Options(python=str(program), deadline=20))
    assert caught.value.where == str(program)


def test_a_program_that_never_answers(tmp_path: Path, environ: dict[str, str]) -> None:
    program = executable(tmp_path / "program", "#!/bin/sh\nexec sleep 100\n")
    with pytest.raises(EnvcheckError, match="timeout"):
        collect(System(environ=environ), Options(python=str(program), deadline=1))


def test_a_chosen_interpreter_that_cannot_start_is_a_fact(tmp_path: Path, environ: dict[str, str]) -> None:
    broken = environment(tmp_path / "active")
    facts = collect(System(environ=environ | {"VIRTUAL_ENV": f"{tmp_path}/active"}), Options(deadline=20))
    assert (facts.python.path, facts.python.version) == (broken, None)
    seen = {look.look: look.state for look in facts.observations}
    assert (seen["interpreter"], seen["torch"]) == ("failed", "skipped")
    assert facts.torch.installed is None
    assert facts.packages is None


def test_pip_of_another_interpreter(tmp_path: Path) -> None:
    system = System(environ={"PATH": f"{tmp_path}/bin"})
    assert pip_python(system) is None
    for text, expected in {
        "#!/opt/conda/bin/python3.9\nimport pip": "/opt/conda/bin/python3.9",
        "#!/bin/sh\n'''exec' /very/long/python \"$0\" \"$@\"\n' '''": "/very/long/python",
        "#!/bin/sh\n'''exec' \"/with a/python\" \"$0\" \"$@\"\n' '''": "/with a/python",
        "#!/usr/bin/env bash\npyenv exec pip": None,
        "MZ\x90\0": None,
    }.items():
        executable(tmp_path / "bin/pip", text)
        assert pip_python(system) == expected
