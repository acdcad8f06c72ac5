"""`envcheck verify-backprop`: measure, judge, show."""

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from envcheck.commands.clickwork import command, option
from envcheck.commands.doctor import exit_code
from envcheck.commands.world import World
from envcheck.model.base import Plain
from envcheck.model.errors import EnvcheckError, Exit
from envcheck.model.facts import Facts
from envcheck.model.report import Examination
from envcheck.model.text import say

if TYPE_CHECKING:
    from envcheck.gradients.ask import Ask
    from envcheck.gradients.record import Run

THOROUGH_SECONDS, THOROUGH_ROUNDS = 120.0, 8
LONGEST = 7 * 86400.0
START = 60.0
"""Seconds that everything but the load may take, unless --deadline says otherwise."""
_LARGEST_SEED = 2**31 - 1


class Asked(Plain, frozen=True):
    """The command line."""

    python: str | None
    devices: Sequence[str]
    seconds: float | None
    thorough: bool
    seed: int
    deadline: float | None
    lesson: bool
    plot: str | None
    face: str
    source: str | None
    save: str | None
    verbose: bool


def _seconds(_ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST:
        what = say("{value} is no number of seconds between 0 and {longest}", value=value, longest=f"{LONGEST:.0f}")
        raise EnvcheckError(what, where=param.opts[0])
    return seconds


@command("verify-backprop")
@option("--python", metavar="PATH", help="The interpreter or environment to look at.")
@option("--device", "devices", multiple=True, metavar="DEVICE", help="Only this one: cpu, cuda, cuda:1, xpu, mps.")
@option("--seconds", callback=_seconds, metavar="N", help="Load each device for so long (GPUs 1, else a moment).")
@option("--thorough", is_flag=True, help="Two minutes of load for each device, and eight rounds of drawn numbers.")
@option("--seed", type=click.IntRange(0, _LARGEST_SEED), default=0, help="Draw other numbers.")
@option("--deadline", callback=_seconds, metavar="SECONDS", help="Give up after so many seconds.")
@option("--lesson", is_flag=True, help="Show back-propagation step by step.")
@option("--plot", metavar="FILE", help="Draw the loss and the error map into a .png or .svg file.")
@option("--format", "face", type=click.Choice(("console", "json")), default="console", help="How to show the report.")
@option("--from", "source", metavar="FILE", help="Judge a recorded run again (- for standard input).")
@option("--save", metavar="FILE", help="Write everything that was measured to a file that --from reads.")
@option("-v", "--verbose", is_flag=True, help="Show every case.")
@click.pass_obj
def verify_backprop(world: World, /, **given: Any) -> int:
    """Say whether back-propagation computes right on the CPU and on every GPU.

    Whole-number cases must be right bit for bit, drawn numbers within rounding, and y = w * x must learn what plain
    Python arithmetic learns.

    Exit codes: 0 gradients can be trusted, 1 those of a device cannot, 2 wrong usage or input, 3 could not tell.
    """
    asked = Asked(**given)
    _refuse_early(asked)
    examination = _examination(world, asked)
    if asked.plot is not None:
        _plot(asked.plot, examination)
    world.write(_shown(world, examination, asked))
    return exit_code(examination.report, "error")


def _refuse_early(asked: Asked) -> None:
    """Whatever can be known to be wrong before the work begins."""
    if asked.source is not None and (asked.python is not None or asked.devices or asked.thorough or asked.save):
        raise EnvcheckError(say("--from judges a file; --python, --device, --thorough and --save are for this machine"))
    for device in asked.devices:
        kind, _, index = device.partition(":")
        if kind not in ("cpu", "cuda", "xpu", "mps") or (":" in device and not index.isdecimal()):
            what = say("{device} is no device", device=device)
            raise EnvcheckError(what, where="--device", mend=say("give cpu, cuda, cuda:1, xpu or mps"))
    if asked.plot is not None:
        from envcheck.render.plot import format_of

        format_of(asked.plot)
    for target in (asked.plot, asked.save):
        if target is not None:
            from envcheck.commands.files import check_writable

            check_writable(target)


def _examination(world: World, asked: Asked) -> Examination:
    from envcheck.commands.looking import examine

    facts = _measured(world, asked) if asked.source is None else _replayed(world, asked.source)
    return examine(world, facts, select=("EC5",))


def _measured(world: World, asked: Asked) -> Facts:
    from envcheck.commands.backprop import facts_of, judged, measure, with_gradients
    from envcheck.commands.waiting import Waiting
    from envcheck.probes.interpreter import choose

    choice = choose(world.system, asked.python)
    ask, limit = _ask(asked)
    threading.Thread(target=_import_ahead, daemon=True).start()
    with Waiting(world, limit) as waiting:
        measured = measure(world.system, choice.path, ask, time.monotonic() + limit, waiting.on)
    if asked.python is not None and measured.last.state in ("failed", "absent"):
        why = measured.last.detail or measured.last.state
        raise EnvcheckError(
            say("not a Python interpreter, or one that cannot start: {why}", why=why), where=asked.python
        )
    if asked.save is not None:
        _save(asked.save, measured.run)
    gradients = judged(measured.run, measured.book)
    _refuse_absent(asked.devices, gradients is not None and [device.device for device in gradients.devices])
    return with_gradients(world.system, facts_of(choice, measured.run, gradients), gradients)


def _import_ahead() -> None:
    """Import what comes after the measurement, while the worker is busy."""
    from importlib import import_module

    for module in ("diagnosis.checks", "diagnosis.diagnose", "catalogue", "probes.redact", "render.gradients"):
        import_module(f"envcheck.{module}")


def _refuse_absent(devices: Sequence[str], found: Sequence[str] | bool) -> None:
    """A device that was asked for and that torch does not offer is an error, not a pass."""
    if isinstance(found, bool):
        return
    for device in devices:
        if not any(one in (device, f"{device}:0") or one.partition(":")[0] == device for one in found):
            raise EnvcheckError(
                say("torch offers no device {device} here", device=device),
                where="--device",
                mend=say("`envcheck doctor` says why"),
                code=Exit.UNKNOWN,
            )


def _ask(asked: Asked) -> "tuple[Ask, float]":
    """What the worker is asked, and how long it may take."""
    from envcheck.gradients.ask import make_ask

    seconds = THOROUGH_SECONDS if asked.thorough and asked.seconds is None else asked.seconds
    rounds = THOROUGH_ROUNDS if asked.thorough else 1
    # Several devices are loaded one after the other: room for sixteen of them.
    limit = START + 16 * (seconds or 1.0) if asked.deadline is None else asked.deadline
    trace_after = max(limit - 0.2, 0.1)
    made = make_ask(seed=asked.seed, rounds=rounds, devices=asked.devices, seconds=seconds, trace_after=trace_after)
    return made, limit


def _save(target: str, run: "Run") -> None:
    from envcheck.commands.files import write_whole
    from envcheck.gradients.record import encode

    write_whole(target, encode(run))


def _replayed(world: World, source: str) -> Facts:
    from msgspec import ValidationError

    from envcheck.commands.backprop import facts_of, judged, with_gradients
    from envcheck.commands.files import read_text
    from envcheck.gradients.record import decode
    from envcheck.probes.interpreter import Choice

    run = decode(read_text(world, source).encode(), source)
    gradients = judged(run, source=source)
    try:
        facts = facts_of(Choice(run.python or "python", "--from", ()), run, gradients)
        return with_gradients(world.system, facts, gradients)
    except ValidationError as error:
        raise EnvcheckError(say("a measurement cannot be read: {why}", why=error), where=source) from error


def _plot(target: str, examination: Examination) -> None:
    from envcheck.commands.files import write_whole
    from envcheck.model.gradients import Gradients
    from envcheck.render.plot import draw, format_of

    write_whole(target, draw(examination.facts.gradients or Gradients(), format_of(target)))


def _shown(world: World, examination: Examination, asked: Asked) -> str:
    if asked.face == "json":
        from envcheck.render import document

        return document.render(examination, world.voice, world.out)
    from envcheck.render import gradients

    screen = gradients.render(examination, world.voice, world.terminal, verbose=asked.verbose)
    if not asked.lesson:
        return screen
    from envcheck.gradients.lesson import lesson as by_hand
    from envcheck.render import lesson

    return lesson.render(by_hand(), examination.facts.gradients, world.voice, world.terminal) + "\n" + screen
