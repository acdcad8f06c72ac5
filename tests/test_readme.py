"""README tells the truth: its screens, its exit codes, its files, its commands."""

import re
import shlex
from pathlib import Path

import pytest
from helpers.cli import invoke
from helpers.tool import ROOT, tool

from envcheck.cli import cli
from envcheck.model.errors import Exit

README = (ROOT / "README.md").read_text("utf-8")
SCREENS = re.findall(r"<!-- (envcheck [^\n]*) -->\n```text\n(.*?)```\n", README, re.DOTALL)


@pytest.mark.parametrize(("command", "shown"), SCREENS, ids=[command for command, _ in SCREENS])
def test_screens_are_what_the_program_shows(command: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    ended = invoke(*shlex.split(command)[1:])
    assert f"$ {command}\n{ended.out}" == shown, "run tools/golden.py"


def test_there_are_screens() -> None:
    assert len(SCREENS) >= 2
    assert tool("golden").readme(README, ROOT) == README


def test_exit_codes_are_those_of_the_program() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", README, re.MULTILINE))
    source = (ROOT / "envcheck" / "model" / "errors.py").read_text("utf-8")
    for code in Exit:
        said = re.search(rf'    {code.name} = {code.value}\n    """(.+?)"""', source)
        assert said is not None
        assert rows[str(code.value)] == said[1]
    assert len(rows) == len(Exit)


def test_linked_files_are_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_commands_that_are_named_exist() -> None:
    named = set(re.findall(r"[`/]envcheck ([a-z-]+)", README))
    assert named <= set(cli.list_commands(cli.make_context("envcheck", ["doctor"])))


def block(mark: str) -> str:
    found = re.search(rf"^<!-- {mark} -->\n```sh\n(.*?)\n```$", README, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_ci_runs_the_very_command_that_readme_gives() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "'/^<!-- tests -->$/,/^```$/p' README.md" in script
    assert block("tests").endswith("-m pytest -n auto")
    assert block("look").endswith(".venv/bin/envcheck doctor")
    assert "\n" not in block("tests") + block("look")


def test_ci_can_be_run() -> None:
    assert Path(ROOT / ".ci" / "run").stat().st_mode & 0o111
