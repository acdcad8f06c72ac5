"""The command line: languages, errors in one line, exit codes, start-up."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.cli import invoke

from envcheck import __version__
from envcheck.cli import COMMANDS, cli
from envcheck.commands import explain as explain_module
from envcheck.model.errors import EnvcheckError, Exit
from envcheck.model.text import say

HAN = re.compile(r"[\u4e00-\u9fff]")


def test_version() -> None:
    assert invoke("--version") == (0, f"envcheck {__version__}\n", "")


def test_help_names_every_command_that_is_there() -> None:
    shown = invoke("--help").out
    folder = Path(explain_module.__file__).parent
    for name, entry in COMMANDS.items():
        assert (f"\n  {name} " in shown) is (folder / f"{entry.module}.py").is_file()


@pytest.mark.parametrize("name", [None, *cli.list_commands(cli.make_context("envcheck", ["doctor"]))])
def test_help_in_chinese_holds_no_english_sentence(name: str | None) -> None:
    shown = invoke(*([name] if name else []), "--help", "--lang", "zh").out
    assert HAN.search(shown)
    english = [line for line in shown.splitlines() if re.search(r"[a-z]{3,} [a-z]{2,} [a-z]{2,}", line)]
    assert not [line for line in english if not HAN.search(line)]


@pytest.mark.parametrize(
    ("argv", "environ", "chinese"),
    [
        (["--lang", "zh"], {}, True),
        (["--lang=zh"], {"LANG": "en_US.UTF-8"}, True),
        (["--lang", "en"], {"ENVCHECK_LANG": "zh"}, False),
        ([], {"ENVCHECK_LANG": "zh"}, True),
        ([], {"ENVCHECK_LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, True),
        ([], {"ENVCHECK_LANG": "fr", "LANG": "zh_CN.UTF-8"}, True),
        ([], {"LANG": "zh_CN.GB18030"}, True),
        ([], {"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, False),
        ([], {"LC_MESSAGES": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}, True),
        ([], {"LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_TW"}, True),
        ([], {"LANG": "de_DE.UTF-8"}, False),
        ([], {}, False),
    ],
)
def test_language(argv: list[str], environ: dict[str, str], chinese: bool) -> None:
    assert bool(HAN.search(invoke("--help", *argv, environ=environ).out)) is chinese


def test_the_language_is_known_wherever_it_stands() -> None:
    assert invoke("--lang", "zh", "explain", "--help") == invoke("explain", "--help", "--lang", "zh")


@pytest.mark.parametrize(("encoding", "chinese"), [("gbk", True), ("utf-8", True), ("cp1252", False), ("ascii", False)])
def test_a_stream_without_chinese_characters_gets_english(encoding: str, chinese: bool) -> None:
    shown = invoke("--help", "--lang", "zh", encoding=encoding)
    assert shown.code == 0
    assert bool(HAN.search(shown.out)) is chinese
    assert "\\u" not in shown.out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["doctr"], "doctor"),
        (["--nope"], "--nope"),
        (["doctor", "--fromat", "json"], "--format"),
        (["doctor", "--format", "xml"], "json"),
        (["doctor", "--deadline", "soon"], "soon"),
        (["doctor", "--deadline", "-1"], "-1"),
        (["doctor", "--lang", "fr"], "zh"),
        (["doctor", "--python"], "--python"),
        (["doctor", "extra"], "extra"),
        (["explain", "EC99999"], "EC99999"),
        (["\x1b[31mdoctor"], "doctor"),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_wrong_usage_is_one_clear_line_and_a_hint(argv: list[str], says: str, language: str) -> None:
    ended = invoke(*argv, environ={"ENVCHECK_LANG": language})
    assert ended.code == Exit.USAGE
    assert ended.out == ""
    first, *hint = ended.err.splitlines()
    assert says in ended.err
    assert len(hint) == 1
    assert all(line.isprintable() for line in ended.err.splitlines())
    assert bool(HAN.search(first)) is (language == "zh")
    assert bool(HAN.search(hint[0])) is (language == "zh")


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(explain_module, "listing", interrupt)
    ended = invoke("explain")
    assert ended.code == Exit.INTERRUPTED
    assert ended.err.splitlines()[-1] == "error: interrupted"


def test_an_error_says_what_where_and_how_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise EnvcheckError(say("no {what}", what="luck\x1b[0m"), where="here", mend=say("try"), code=Exit.STEP)

    monkeypatch.setattr(explain_module, "listing", fail)
    assert invoke("explain") == (Exit.STEP, "", "error: no luck\\x1b[0m (here)\nhint: try\n")


def test_a_fault_of_our_own_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(explain_module, "listing", fail)
    ended = invoke("explain")
    assert ended.code == Exit.UNKNOWN
    assert ended.err.startswith("error: envcheck itself failed: ZeroDivisionError: division by zero\n")
    assert "Traceback" not in ended.err


def run_envcheck(*argv: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "envcheck", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **settings)  # type: ignore[call-overload, no-any-return]


def test_the_process_ends_with_the_code_and_all_of_its_output() -> None:
    ended = run_envcheck("explain")
    assert ended.returncode == 0
    assert len(ended.stdout.splitlines()) >= 60
    assert run_envcheck("explain", "nonsense-that-is-no-code").returncode == Exit.USAGE


def test_version_imports_click_and_little_else() -> None:
    listing = "import sys; sys.argv = ['envcheck', '--version']; import os; os._exit = print; "
    code = listing + "from envcheck.__main__ import main; main(); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    modules = set(ended.stdout.split())
    assert "click" in modules
    assert not modules & {"rich", "msgspec", "packaging", "subprocess", "json", "importlib.metadata", "pathlib"}


def test_a_planted_module_in_the_working_directory_does_not_run(tmp_path: Path) -> None:
    for name in ("click", "msgspec", "torch", "gettext"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted')")
    ended = run_envcheck("--version", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, f"envcheck {__version__}\n")


@pytest.mark.parametrize("name", ["click", "gettext", "msgspec", "typing", "gc"])
def test_a_stray_file_in_the_working_directory_does_not_run(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("open('ran', 'w')")
    ended = run_envcheck("explain", "EC206", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not (tmp_path / "ran").exists()


def test_a_reader_that_leaves_early_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "envcheck", "explain"]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")
