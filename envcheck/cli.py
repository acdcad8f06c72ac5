"""The `envcheck` command: subcommands loaded when they are called, and the one boundary where errors end."""

import gc
import gettext
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import click

from envcheck import __version__, commands
from envcheck.commands.clickwork import Command, common_options, option
from envcheck.commands.world import World
from envcheck.locale import spoken_by_libraries


class Entry(NamedTuple):
    """A subcommand: the module below `commands` and its attribute, and the line in `envcheck --help`."""

    module: str
    attribute: str
    help: str


COMMANDS: dict[str, Entry] = {
    "doctor": Entry("doctor", "doctor", "Say whether PyTorch can train here, and if not, why and what mends it."),
    "install": Entry("install", "install", "Install the PyTorch build that suits this machine."),
    "verify-backprop": Entry("verify_backprop", "verify_backprop", "Check that back-propagation computes right."),
    "mirrors": Entry("mirrors", "mirrors", "List, test, use and restore package mirrors."),
    "explain": Entry("explain", "explain", "Explain a code."),
    "snapshot": Entry("snapshot", "snapshot", "Write what was seen of this machine, redacted, to a file."),
    "compare": Entry("compare", "compare", "Compare snapshots of several machines."),
    "catalogue": Entry("catalogue", "catalogue", "Show or update what is known of releases and drivers."),
}


class LazyGroup(Command, click.Group):
    """A group that imports a subcommand's module only when that subcommand runs."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The subcommands whose modules are there."""
        there = {file.name for file in os.scandir(commands.__path__[0])}
        return [name for name, entry in COMMANDS.items() if f"{entry.module}.py" in there]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand, imported now."""
        if cmd_name not in self.list_commands(ctx):
            return None
        from importlib import import_module

        entry = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"envcheck.commands.{entry.module}"), entry.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand that `args` begin with, or an error that names the nearest one."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            from envcheck.commands.nearest import unknown
            from envcheck.model.text import say

            raise unknown(say("there is no command {name}", name=args[0]), args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of subcommands, without importing them."""
        rows = [(name, gettext.gettext(COMMANDS[name].help)) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section(gettext.gettext("Commands")):
                formatter.write_dl(rows)


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        ctx.ensure_object(World).write(f"envcheck {__version__}\n")
        ctx.exit()


@click.group(cls=LazyGroup, add_help_option=False)
@option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Why PyTorch does not train here, and the commands that mend it."""


cli.params += common_options()


def main() -> NoReturn:
    """The console script.

    It does without the cyclic collector (7 of 98 ms measured for `doctor --from`), and leaves without the
    interpreter's tear-down, which takes a sixth of `envcheck --version` (8 of 50 ms) and would wait for threads that
    wait for a driver.
    """
    gc.disable()
    world = World()
    code = run(sys.argv[1:], world)
    world.flush()
    finish_tidying()
    os._exit(code)


def finish_tidying() -> None:
    """End what was started and not wanted, and wait for the threads that put away what was; others may hang."""
    if "envcheck.probes.headstart" in sys.modules:
        from envcheck.probes.headstart import abandon

        abandon()
    if "threading" in sys.modules:
        import threading

        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.main_thread():
                thread.join()


def run(argv: Sequence[str], world: World) -> int:
    """Run one command line and return its exit code; nothing is raised."""
    world.asked_language = _asked_language(argv)
    try:
        with spoken_by_libraries(world.language):
            code = cli.main(list(argv), prog_name="envcheck", obj=world, standalone_mode=False)
        return int(code or 0)
    except BaseException as error:  # noqa: BLE001 - the boundary: every way to end becomes an exit code
        from envcheck.commands.failure import report_failure

        return report_failure(world, error)


def _asked_language(argv: Sequence[str]) -> str | None:
    """The value of `--lang` anywhere on the command line: `--help` and errors need it before click has parsed."""
    for index, word in enumerate(argv):
        if word == "--":
            break
        if word == "--lang":
            return argv[index + 1] if index + 1 < len(argv) else None
        if word.startswith("--lang="):
            return word.removeprefix("--lang=")
    return None
