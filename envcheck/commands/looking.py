"""What the commands that look at a machine share: their options, the look, the facts of a file, the diagnosis."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from envcheck.commands.clickwork import option
from envcheck.commands.nearest import unknown
from envcheck.commands.world import World
from envcheck.model.errors import EnvcheckError
from envcheck.model.facts import Facts
from envcheck.model.report import Examination
from envcheck.model.text import say
from envcheck.probes.headstart import DEADLINE
from envcheck.render.terminal import terminal_of

if TYPE_CHECKING:
    from envcheck.catalogue import Catalogue
    from envcheck.diagnosis.check import Check
    from envcheck.model.plan import Plan
    from envcheck.model.report import Fix

Function = TypeVar("Function", bound=Callable[..., Any])


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0.5 <= seconds <= 86400:
        what = say("{value} is no number of seconds between 0.5 and 86400", value=value)
        raise EnvcheckError(what, where="--deadline", mend=say("give it like this: {example}", example="--deadline 30"))
    return seconds


def looking_options(function: Function) -> Function:
    """`--python`, `--deadline` and `--no-torch`."""
    for decorate in (
        option("--no-torch", "torch", flag_value=False, default=True, help="Do not import torch."),
        option(
            "--deadline",
            callback=_seconds,
            default=f"{DEADLINE:g}",
            metavar="SECONDS",
            show_default=True,
            help="Stop looking after so many seconds.",
        ),
        option("--python", metavar="PATH", help="The interpreter or environment to look at."),
    ):
        function = decorate(function)
    return function


def look(world: World, *, python: str | None, deadline: float, torch: bool, then: Sequence[str] = ()) -> Facts:
    """Look at this machine; the facts are redacted. `then` names modules that will be needed afterwards."""
    from envcheck.probes.collect import Options, collect

    modules = (*then, *(("recommend.resolve",) if torch else ()))  # torch is a wait of a second
    options = Options(python, deadline, torch, meanwhile=partial(_prepare, world, modules))
    if not terminal_of(world.err, world.env).tty:
        return collect(world.system, options)
    from envcheck.commands.progress import Progress

    with Progress(world, deadline) as progress:
        return collect(world.system, options.but(watch=progress))


def _prepare(world: World, modules: Iterable[str]) -> None:
    """Import what comes after the look, and read the table of releases, while it waits for its children."""
    from contextlib import suppress
    from importlib import import_module

    with suppress(Exception):  # whatever it is, it comes again where somebody waits for it
        for module in modules:
            import_module(f"envcheck.{module}")
        world.catalogue.newest_torch()


def facts_from(world: World, source: str) -> Facts:
    """The facts in a file, or in standard input for `-`: a snapshot, a JSON report, or text that was pasted."""
    from envcheck.commands.files import read_pasted

    text = read_pasted(world, source)
    if text.lstrip()[:1] == "{":
        from envcheck.model.codec import decode

        return decode(text, where=source)
    from envcheck.diagnosis.evidence import read

    return read(text)


def examine(world: World, facts: Facts, *, select: Sequence[str] = (), ignore: Sequence[str] = ()) -> Examination:
    """Facts and the report made of them. `select` and `ignore` hold codes or their beginnings, also with commas."""
    from envcheck.diagnosis.case import Case
    from envcheck.diagnosis.checks import CHECKS
    from envcheck.diagnosis.diagnose import diagnose

    wanted, unwanted = prefixes(select, CHECKS, "--select"), prefixes(ignore, CHECKS, "--ignore")
    case = Case(facts, world.catalogue, partial(_advise, world.catalogue), partial(_fixes, world.catalogue, facts))
    return Examination(facts=facts, report=diagnose(case, CHECKS, select=wanted, ignore=unwanted))


def prefixes(given: Iterable[str], checks: Iterable["Check"], where: str) -> list[str]:
    """Code prefixes of an option, each the beginning of a code that exists.

    Raises:
        EnvcheckError: no code begins like that; the nearest is named.
    """
    codes = [check.code for check in checks]
    words = [word.strip().upper() for item in given for word in item.split(",") if word.strip()]
    for word in words:
        if not any(code.startswith(word) for code in codes):
            what = say("no code begins with {word}", word=word)
            alike = {code[: len(word)] for code in codes}
            raise unknown(what, word, alike, where=where, otherwise=say("`envcheck explain` lists them all"))
    return words


def _advise(catalogue: "Catalogue", facts: Facts) -> "Plan | None":
    from envcheck.recommend.resolve import resolve

    return resolve(facts, catalogue)


def _fixes(catalogue: "Catalogue", facts: Facts, plan: "Plan") -> "tuple[Fix, ...]":
    from envcheck.recommend.commandline import fixes

    return fixes(plan, facts, catalogue)
