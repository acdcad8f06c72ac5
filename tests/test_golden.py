"""The console, screen by screen. After a wanted change: `python tools/golden.py`, and look at the difference."""

import re

import pytest
from helpers.golden import FOLDER, MACHINES, Screen, screens

from envcheck.commands.files import read_text
from envcheck.commands.looking import examine
from envcheck.commands.world import World
from envcheck.model.codec import decode
from envcheck.render.layout import cells
from envcheck.render.phrases import command_lines

SCREENS = list(screens())
INK = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.name)
def test_screen(screen: Screen) -> None:
    assert screen.shown() == screen.path.read_text("utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in FOLDER.glob("*.txt")} == {screen.name for screen in SCREENS}


@pytest.mark.parametrize("machine", MACHINES)
def test_commands_are_whole_and_everything_else_fits(machine: str) -> None:
    source = str(FOLDER / f"{machine}.json")
    world = World()
    report = examine(world, decode(read_text(world, source), where=source)).report
    primary = report.primary_finding
    commands = {line for fix in (primary.fixes if primary else ()) for line in command_lines(fix)}
    for screen in (screen for screen in SCREENS if screen.machine == machine and screen.kind == "plain"):
        lines = screen.path.read_text("utf-8").splitlines()
        assert commands <= {line.strip() for line in lines}
        wide = [line for line in lines if cells(line) > screen.width and line.strip() not in commands]
        assert all(" " not in line.strip() for line in wide), wide


@pytest.mark.parametrize("kind", ["nocolor", "dumb", "gbk", "cp1252"])
def test_no_colour_where_none_is_wanted(kind: str) -> None:
    for screen in (screen for screen in SCREENS if screen.kind == kind):
        assert not INK.search(screen.path.read_text("utf-8"))


def test_a_terminal_differs_by_its_colour_only() -> None:
    for screen in (screen for screen in SCREENS if screen.kind == "terminal"):
        plain = screen._replace(kind="plain").path.read_text("utf-8")
        coloured = screen.path.read_text("utf-8")
        assert INK.search(coloured)
        assert INK.sub("", coloured) == plain
