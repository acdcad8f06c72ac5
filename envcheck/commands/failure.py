"""How a command ends that could not do its work: one line for the error, one for the hint, an exit code."""

import sys

import click

from envcheck.commands.world import World
from envcheck.locale import spoken_by_libraries
from envcheck.model.errors import EnvcheckError, Exit
from envcheck.model.text import say
from envcheck.render.clean import clean
from envcheck.render.terminal import terminal_of, write


def report_failure(world: World, error: BaseException) -> int:
    """Say on standard error why the command ended, in the world's language, and give the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else Exit.OK
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        _say(world, world.voice(say("interrupted")), "")
        return Exit.INTERRUPTED
    if isinstance(error, EnvcheckError):
        where = f" ({clean(error.where)})" if error.where else ""
        _say(world, world.voice(error.what) + where, world.voice(error.mend) if error.mend else "")
        return error.code
    if isinstance(error, click.ClickException):
        with spoken_by_libraries(world.language):
            _say(world, clean(error.format_message()), _usage_hint(world, error))
        return Exit.USAGE
    return _internal(world, error)


def _usage_hint(world: World, error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "envcheck"
    return world.voice(say("see `{command}`", command=f"{path} --help"))


def _internal(world: World, error: BaseException) -> int:
    """A fault of our own: named in one line; ENVCHECK_TRACEBACK shows where it happened."""
    what = say("envcheck itself failed: {kind}: {text}", kind=type(error).__name__, text=str(error))
    hint = say("ENVCHECK_TRACEBACK=1 shows where; please report it")
    _say(world, world.voice(what), world.voice(hint))
    if world.env("ENVCHECK_TRACEBACK"):
        sys.excepthook(type(error), error, error.__traceback__)
    return Exit.UNKNOWN


def _say(world: World, message: str, hint: str) -> None:
    terminal = terminal_of(world.err, world.env)
    lines = [terminal.style(world.voice(say("error:")), fg="red", bold=True) + " " + message]
    if hint:
        lines.append(terminal.style(world.voice(say("hint:")), fg="cyan") + " " + hint)
    write(world.err, "\n".join(lines) + "\n", colour=terminal.colour)
