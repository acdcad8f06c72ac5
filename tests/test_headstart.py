"""The head start: the child that `doctor` wants is under way before the command line is parsed, and only that one."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from envcheck.probes import headstart

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no posix_spawn")
Doctor = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def doctor(tmp_path: Path, environ: dict[str, str], bare_python: str) -> Doctor:
    """Run `envcheck doctor` in an environment that notes every start of its interpreter, and tell the starts."""
    environment, notes = tmp_path / "environment", tmp_path / "starts"
    (environment / "bin").mkdir(parents=True)
    python = environment / "bin" / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {notes}\nexec {bare_python} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def run(*words: str, **more: str) -> tuple[int, list[str]]:
        notes.unlink(missing_ok=True)
        env = environ | {"VIRTUAL_ENV": str(environment), "TMPDIR": str(temporary)} | more
        command = [sys.executable, "-m", "envcheck", *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
        assert "Traceback" not in done.stderr
        assert list(temporary.iterdir()) == []
        return done.returncode, notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []

    return run


@POSIX
@pytest.mark.parametrize("words", [[], ["--no-torch"], ["--format", "json"], ["--deadline", "30"], ["--deadline=60"]])
def test_the_interpreter_is_started_once(doctor: Doctor, words: list[str]) -> None:
    _, starts = doctor("doctor", *words)
    assert len(starts) == 1


@POSIX
def test_another_interpreter_is_meant_after_all(doctor: Doctor, bare_python: str) -> None:
    _, starts = doctor("doctor", "--python", bare_python)
    assert starts == []


@POSIX
@pytest.mark.parametrize("words", [["--format", "nonsense"], ["--select", "XX"], ["--save", "/none/such/place"]])
def test_a_wrong_command_line_leaves_nothing_behind(doctor: Doctor, words: list[str]) -> None:
    code, starts = doctor("doctor", *words)
    assert code == 2
    assert len(starts) <= 1


@POSIX
def test_what_is_not_plain_starts_nothing_early(doctor: Doctor) -> None:
    for words in (["doctor", "--help"], ["doctor", "--frobnicate"], ["doctor", "--format"], ["explain", "EC300"]):
        _, starts = doctor(*words)
        assert starts == []


def test_plain_command_lines() -> None:
    for words, torch in {
        "doctor": True,
        "doctor -v --lang zh-CN --format=json": True,
        "doctor --no-torch --fail-on never": False,
        "doctor --save x --verbose": True,
    }.items():
        assert headstart.torch_if_plain(words.split()) is torch
    for words in (
        "",
        "install",
        "doctor --from x",
        "doctor --deep",
        "doctor --deadline 3",
        "doctor x",
        "doctor --save",
    ):
        assert headstart.torch_if_plain(words.split()) is None


@POSIX
def test_only_the_very_child_is_taken(tmp_path: Path, bare_python: str) -> None:
    folder = Path(bare_python).parent.parent
    environ = {"VIRTUAL_ENV": str(folder), "TMPDIR": str(tmp_path)}
    try:
        headstart.begin(["doctor", "--no-torch"], environ)
        (made,) = tmp_path.iterdir()
        here = str(Path.cwd())
        python = str(folder / "bin" / "python")
        assert headstart.taken(python, True, headstart.DEADLINE, environ, here) is None
        assert headstart.taken(python, False, 5.0, environ, here) is None
        assert headstart.taken(python, False, headstart.DEADLINE, environ | {"A": "b"}, here) is None
        assert headstart.taken(python, False, headstart.DEADLINE, environ, "/") is None
        assert made.exists()
        headstart.abandon()
        assert not made.exists()
        assert headstart.taken(python, False, headstart.DEADLINE, environ, here) is None
    finally:
        headstart.abandon()


@POSIX
def test_a_child_that_hangs_is_ended(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text("#!/bin/sh\nsleep 30\n", encoding="utf-8")
    python.chmod(0o755)
    (tmp_path / "t").mkdir()
    begun = time.monotonic()
    try:
        headstart.begin(["doctor"], environ | {"VIRTUAL_ENV": str(tmp_path), "TMPDIR": str(tmp_path / "t")})
        assert len(list((tmp_path / "t").iterdir())) == 1
    finally:
        headstart.abandon()
    assert list((tmp_path / "t").iterdir()) == []
    assert time.monotonic() - begun < 10


def test_a_place_that_refuses_is_no_error(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("no program", encoding="utf-8")
    (tmp_path / "bin" / "python").chmod(0o755)
    (tmp_path / "t").mkdir()
    headstart.begin(["doctor"], environ | {"VIRTUAL_ENV": str(tmp_path), "TMPDIR": str(tmp_path / "t")})
    headstart.abandon()
    assert list((tmp_path / "t").iterdir()) == []
