"""`envcheck mirrors`: list them, test them, use one for pip, uv and conda, and take that back."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from envcheck.commands.clickwork import Group, command, common_options, option
from envcheck.commands.world import World
from envcheck.model.errors import Exit

Function = TypeVar("Function", bound=Callable[..., Any])

TOOLS = ("pip", "uv", "conda")
_OWN_FOLDER = "ENVCHECK_MIRRORS"


@click.group("mirrors", cls=Group, add_help_option=False, invoke_without_command=True)
@click.pass_context
def mirrors(context: click.Context) -> None:
    """List package mirrors, test them, use one, and take that back."""
    if context.invoked_subcommand is None:
        context.invoke(list_mirrors)


mirrors.params += common_options()


@command("list")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.pass_obj
def list_mirrors(world: World, names: Sequence[str]) -> None:
    """List the mirrors and what each of them has; with NAME all that is known of it."""
    from envcheck.catalogue.mirrors import mirror
    from envcheck.commands.mirror_tables import one_page, overview

    own = world.system.env(_OWN_FOLDER)
    if names:
        pages = [one_page(mirror(name, own), world.voice, world.terminal) for name in names]
        world.write("\n\n".join("\n".join(page) for page in pages) + "\n")
        return
    listed = overview(world.catalogue.mirrors(own).values(), world.voice, world.terminal)
    world.write("\n".join(listed) + "\n")


@command("test")
@click.argument("names", metavar="[NAME|URL]...", nargs=-1)
@option("--variant", metavar="NAME", help="Which of PyTorch's indexes to ask for: cu126, cpu, rocm6.4, ...")
@option("--limit", type=click.FloatRange(0.5, 120), default=10.0, help="Seconds for each answer.")
@click.pass_obj
def test_mirrors(world: World, names: Sequence[str], variant: str | None, limit: float) -> None:
    """Ask mirrors over the network: do they answer, how fast, and do the files they list lie with them.

    NAME is a mirror, URL the page of an index. Without either every mirror that is worth a try is asked.
    """
    from envcheck.commands.mirror_tables import results
    from envcheck.commands.mirror_test import ask, questions

    asked = questions(world, names, variant, world.system.env(_OWN_FOLDER))
    answers = ask(world, asked, limit)
    world.write("\n".join(results(answers, world.voice, world.terminal)) + "\n")
    if not any(answer.ok for answer in answers) or (names and not all(answer.ok for answer in answers)):
        raise click.exceptions.Exit(Exit.FINDING)


def _tools(function: Function) -> Function:
    return option("--tool", "tools", type=click.Choice(TOOLS), multiple=True, help="For which tool; may be repeated.")(
        option("-y", "--yes", is_flag=True, help="Do not ask.")(
            option("--dry-run", is_flag=True, help="Only show what would change.")(function)
        )
    )


@command("use")
@click.argument("name")
@_tools
@option("--print", "only_print", is_flag=True, help="Only print the lines to put into each file.")
@click.pass_obj
def use_mirror(world: World, name: str, tools: Sequence[str], yes: bool, dry_run: bool, only_print: bool) -> None:
    """Make NAME the place where pip, uv and conda look for packages.

    What would change is shown first, then asked for. The old files are kept, `envcheck mirrors restore` brings them
    back bit for bit. PyTorch's own CUDA builds are not covered by it: `envcheck install --mirror` takes care of them.
    """
    from envcheck.catalogue.mirrors import mirror
    from envcheck.commands.mirror_use import edits, print_lines, use

    chosen = mirror(name, world.system.env(_OWN_FOLDER))
    wanted = edits(world, chosen, tools)
    if only_print:
        print_lines(world, wanted)
    else:
        use(world, chosen, wanted, yes=yes, dry_run=dry_run)


@command("restore")
@_tools
@click.pass_obj
def restore_files(world: World, tools: Sequence[str], yes: bool, dry_run: bool) -> None:
    """Bring back the configuration files from before `envcheck mirrors use`, bit for bit."""
    from envcheck.commands.mirror_use import restore

    restore(world, tools or TOOLS, yes=yes, dry_run=dry_run)


for _command in (list_mirrors, test_mirrors, use_mirror, restore_files):
    mirrors.add_command(_command)
