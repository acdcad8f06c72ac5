"""`envcheck catalogue`: show what is known of releases, and learn from an index what came since."""

from typing import TYPE_CHECKING

import click

from envcheck.commands.clickwork import Group, command, common_options, option
from envcheck.commands.world import World
from envcheck.model.errors import EnvcheckError, Exit
from envcheck.model.text import say

if TYPE_CHECKING:
    from pathlib import Path

    from envcheck.catalogue.update import Update

PATIENCE = 30.0
"""Seconds for a page."""
_LARGEST_PAGE = 16 << 20


@click.group("catalogue", cls=Group, add_help_option=False, invoke_without_command=True)
@click.pass_context
def catalogue(context: click.Context) -> None:
    """Show or update what is known of releases and drivers."""
    if context.invoked_subcommand is None:
        context.invoke(show)


catalogue.params += common_options()


@command("show")
@click.pass_obj
def show(world: World) -> None:
    """Show the newest releases, what the catalogue rests on, and since when."""
    known = world.catalogue
    builds = known.builds()
    newest = known.newest_torch()
    variants = sorted({build.variant for build in builds if build.torch == newest})
    dates = sorted({build.date for build in builds})
    lines = [
        say("newest release: torch {torch} ({variants})", torch=newest, variants=", ".join(variants)),
        say("{count} official wheels, {conda} conda packages", count=len(builds), conda=len(known.conda_builds())),
        say("read from their sources between {first} and {last}", first=dates[0], last=dates[-1]),
    ]
    if known.update is not None:
        lines.append(say("updated from {index} on {date}", index=known.update.index, date=known.update.date))
    for line in lines:
        world.write(world.voice(line) + "\n")


@command("update")
@option("--index", metavar="URL", help="The index to read: PyTorch's own, or a mirror of it.")
@option("--forget", is_flag=True, help="Forget what was learnt: go back to the shipped catalogue.")
@click.pass_obj
def update(world: World, index: str | None, forget: bool) -> int:
    """Learn new releases of torch from an index, and keep them in the cache folder.

    Nothing of the shipped catalogue is changed. What a new CUDA build holds kernels for is on no index page: it
    stays unknown until a new envcheck knows it.
    """
    from pathlib import Path

    from envcheck.commands.cache import FILE, folder

    place = folder(world)
    if place is None:
        raise EnvcheckError(say("there is no cache folder on this machine"), mend=say("set ENVCHECK_CACHE to a folder"))
    file = Path(place) / FILE
    if forget:
        file.unlink(missing_ok=True)
        world.write(world.voice(say("forgotten: the shipped catalogue counts")) + "\n")
        return Exit.OK
    learnt = _learn(world, index or world.catalogue.shipped_releases.index)
    _keep(file, learnt)
    new = sorted({row.torch for row in learnt.wheels})
    told = say("new: torch {releases}", releases=", ".join(new)) if new else say("no release is newer than those known")
    world.write(world.voice(told) + "\n")
    return Exit.OK


def _learn(world: World, index: str) -> "Update":
    """Read the index.

    Raises:
        EnvcheckError: it does not answer, or not with torch's wheels; what was known still counts.
    """
    from envcheck.catalogue.indexpage import ACCEPT, parse
    from envcheck.catalogue.update import UnlikelyError, make
    from envcheck.probes.proxies import find, for_request

    page = f"{index.rstrip('/')}/torch/"
    proxy = for_request(find(world.system, ()), page)
    got = world.system.fetch(page, limit=PATIENCE, cap=_LARGEST_PAGE, headers={"Accept": ACCEPT}, proxy=proxy)
    mend = say("what was known before still counts")
    if got.error:
        what = say("the index does not answer: {reason}", reason=got.detail or got.error)
        raise EnvcheckError(what, where=page, mend=mend, code=Exit.UNKNOWN)
    links = parse(got.body, got.headers.get("content-type", ""), got.url).links
    day = world.now().strftime("%Y-%m-%d")
    try:
        return make((link.name for link in links if not link.yanked), index, day, world.catalogue.shipped_releases)
    except UnlikelyError as error:
        what = say("the index does not list torch's releases: {reason}", reason=error)
        raise EnvcheckError(what, where=page, mend=mend, code=Exit.UNKNOWN) from None


def _keep(file: "Path", learnt: "Update") -> None:
    from envcheck.catalogue.update import encode
    from envcheck.commands.files import write_whole

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvcheckError(say("cannot write: {reason}", reason=error.strerror or error), where=str(file)) from None
    write_whole(str(file), encode(learnt))


catalogue.add_command(show)
catalogue.add_command(update)
