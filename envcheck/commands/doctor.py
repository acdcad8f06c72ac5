"""`envcheck doctor`: look, diagnose, show."""

import time
from collections.abc import Sequence
from typing import Any

import click

from envcheck.commands.clickwork import command, option
from envcheck.commands.looking import examine, facts_from, look, looking_options
from envcheck.commands.world import World
from envcheck.model.base import Plain
from envcheck.model.errors import EnvcheckError, Exit
from envcheck.model.facts import Facts
from envcheck.model.report import SEVERITIES, Examination, Report
from envcheck.model.text import say

FORMATS = ("console", "json", "markdown")
_FACES = {"console": "render.console", "json": "render.document", "markdown": "render.markdown"}
_JUDGES = ("diagnosis.checks", "diagnosis.diagnose", "catalogue.releases", "catalogue.capabilities")
"""Modules that come after the look, to be imported while it waits."""
JUDGING = 0.4
"""Seconds of the deadline that are kept for judging what was measured, and for the report."""


class Asked(Plain, frozen=True):
    """The command line."""

    python: str | None
    deadline: float
    torch: bool
    face: str
    source: str | None
    save: str | None
    select: Sequence[str]
    ignore: Sequence[str]
    fail_on: str
    verbose: bool
    deep: bool


@command("doctor")
@looking_options
@option(
    "--deep",
    is_flag=True,
    help="Check back-propagation too, as verify-backprop does (some seconds more).",
)
@option("--format", "face", type=click.Choice(FORMATS), default="console", help="How to show the report.")
@option("--from", "source", metavar="FILE", help="Judge a snapshot or pasted text (- for standard input), not here.")
@option("--save", metavar="FILE", help="Write what was seen, redacted, to a file that --from reads.")
@option("--select", metavar="CODES", multiple=True, help="Only these checks: codes or their beginnings (EC2,EC301).")
@option("--ignore", metavar="CODES", multiple=True, help="Not these checks: codes or their beginnings.")
@option(
    "--fail-on",
    type=click.Choice((*SEVERITIES, "never")),
    default="error",
    help="The least severity that makes the exit code 1; never: it is 0 whatever was found.",
)
@option("-v", "--verbose", is_flag=True, help="Show every check and every look.")
@click.pass_obj
def doctor(world: World, /, **given: Any) -> int:
    """Say whether PyTorch can train here, and if not, the one cause and the commands that mend it.

    Exit codes: 0 nothing wrong, 1 a finding at or above --fail-on, 2 wrong usage or input, 3 could not tell.
    """
    asked = Asked(**given)
    until = time.monotonic() - min(time.process_time(), 0.3) + asked.deadline
    _refuse_early(asked)
    facts = facts_from(world, asked.source) if asked.source is not None else _looked(world, asked, until)
    examination = examine(world, facts, select=asked.select, ignore=asked.ignore)
    world.write(render(world, examination, asked.face, verbose=asked.verbose))
    if asked.save is not None:
        from envcheck.commands.files import write_whole
        from envcheck.model.codec import encode

        write_whole(asked.save, encode(facts))
    return exit_code(examination.report, asked.fail_on)


def _refuse_early(asked: Asked) -> None:
    """Whatever can be known to be wrong before the look begins."""
    if asked.save is not None:
        from envcheck.commands.files import check_writable

        check_writable(asked.save)
    if asked.source is not None and (asked.python is not None or not asked.torch or asked.deep):
        what = say("--from judges a file; --python, --no-torch and --deep are for this machine")
        raise EnvcheckError(what, mend=say("leave one of them out"))
    if asked.deep and not asked.torch:
        raise EnvcheckError(say("--deep needs torch"), mend=say("leave --no-torch out"))


def _looked(world: World, asked: Asked, until: float) -> Facts:
    """What is seen of this machine; `--deep` measures in what is left until that instant of `time.monotonic`."""
    then = (*_JUDGES, _FACES[asked.face])
    facts = look(world, python=asked.python, deadline=asked.deadline, torch=asked.torch, then=then)
    if not asked.deep:
        return facts
    from envcheck.commands.backprop import deepened
    from envcheck.commands.waiting import Waiting

    with Waiting(world, asked.deadline) as waiting:
        return deepened(world.system, facts, asked.python, until - JUDGING, waiting.on)


def render(world: World, examination: Examination, face: str, *, verbose: bool) -> str:
    """The report as `face` shows it."""
    if face == "json":
        from envcheck.render import document

        return document.render(examination, world.voice, world.out)
    if face == "markdown":
        from envcheck.render import markdown

        return markdown.render(examination, world.voice, world.terminal)
    from envcheck.render import console

    return console.render(examination, world.voice, world.terminal, verbose=verbose)


def exit_code(report: Report, fail_on: str) -> Exit:
    """The exit code that a report deserves; `never` is always OK."""
    if fail_on == "never":
        return Exit.OK
    grave = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    if any(finding.severity in grave for finding in report.findings):
        return Exit.FINDING
    return Exit.UNKNOWN if report.verdict == "unknown" else Exit.OK
