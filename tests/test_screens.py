"""Every recorded machine on every face: safe, whole, valid, and Chinese where Chinese is asked for."""

import io
import json
import re
from functools import cache
from pathlib import Path

import jsonschema
import pytest

from envcheck.commands.looking import examine
from envcheck.commands.world import World
from envcheck.model.codec import decode
from envcheck.model.report import Examination
from envcheck.render import console, document, markdown
from envcheck.render.layout import cells
from envcheck.render.phrases import command_lines
from envcheck.render.schema import SCHEMA_FILE
from envcheck.render.terminal import ASCII, SYMBOLS, Terminal
from envcheck.render.voice import Voice

FILES = sorted((Path(__file__).parent / "machines").glob("*.json"))
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text("utf-8")))
HAN = re.compile(r"[\u4e00-\u9fff]")
WORLD = World()


@cache
def examination(path: Path) -> Examination:
    return examine(WORLD, decode(path.read_text("utf-8"), where=path.name))


def every_machine(test: object) -> object:
    return pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)(test)


@every_machine
def test_the_screen_is_clean_and_commands_are_whole(path: Path) -> None:
    seen = examination(path)
    primary = seen.report.primary_finding
    commands = {line for fix in (primary.fixes if primary else ()) for line in command_lines(fix)}
    steps = {line for fix in seen.report.next_steps for line in command_lines(fix)}
    for language, width, marks in (("en", 80, SYMBOLS), ("zh", 60, SYMBOLS), ("en", 200, ASCII)):
        lines = console.render(seen, Voice(language), Terminal(width, False, marks)).splitlines()
        assert all(line.isprintable() for line in lines)
        assert commands | steps <= {line.strip() for line in lines}
        wide = [line.strip() for line in lines if cells(line) > width]
        assert all(line in commands | steps or " " not in line.split("  ")[-1] for line in wide), wide


@every_machine
def test_the_document_is_valid(path: Path) -> None:
    shown = document.render(examination(path), Voice("zh"), io.TextIOWrapper(io.BytesIO(), "ascii"))
    VALIDATOR.validate(json.loads(shown))
    assert shown.isascii()


@every_machine
def test_what_is_said_in_chinese_is_chinese(path: Path) -> None:
    speak = Voice("zh")
    for finding in examination(path).report.findings:
        texts = [finding.title, *([finding.why] if finding.why else []), *(fix.what for fix in finding.fixes)]
        english = [text for text in texts if re.search("[A-Za-z]{3}", re.sub(r"{\w+}", "", text.msgid))]
        assert not [text.msgid for text in english if not HAN.search(speak(text))]


@every_machine
def test_the_post_for_a_thread_holds_every_command(path: Path) -> None:
    seen = examination(path)
    shown = markdown.render(seen, Voice("en"), Terminal(80, False, SYMBOLS))
    primary = seen.report.primary_finding
    for fix in primary.fixes if primary else ():
        assert all(f"\n{line}\n" in shown for line in command_lines(fix))
