"""`envcheck explain`: the page of a code, or the list of codes."""

from collections.abc import Iterator, Sequence

import click

from envcheck.commands.clickwork import command
from envcheck.commands.nearest import unknown
from envcheck.commands.world import World
from envcheck.diagnosis.check import Check
from envcheck.locale import paragraphs
from envcheck.model.text import say
from envcheck.render.pages import listing, page


@command("explain")
@click.argument("names", metavar="[CODE|SLUG]...", nargs=-1)
@click.pass_obj
def explain(world: World, names: Sequence[str]) -> None:
    """Explain a code (EC301), a slug or a cause, or list the codes that begin alike (EC3).

    Without an argument every code is listed.
    """
    from envcheck.diagnosis.checks import CHECKS

    screens = [_screen(world, CHECKS, name) for name in names] or [_list(world, CHECKS)]
    world.write("\n".join(screens))


def _screen(world: World, checks: Sequence[Check], name: str) -> str:
    wanted = name.casefold()
    one = [check for check in checks if wanted in (check.code.casefold(), check.slug.casefold())]
    if one:
        return _page(world, one[0])
    alike = [check for check in checks if _alike(check, wanted)]
    if not alike:
        words = [word for check in checks for word in (check.code, check.slug)]
        what = say("there is no code {name}", name=name)
        raise unknown(what, name, words, otherwise=say("`envcheck explain` lists them all"))
    return _page(world, alike[0]) if len(alike) == 1 else _list(world, alike)


def _alike(check: Check, wanted: str) -> bool:
    return bool(wanted) and (check.code.casefold().startswith(wanted) or check.cause == wanted)


def _page(world: World, check: Check) -> str:
    title, *rest = paragraphs(check.page)
    cause = f", {check.cause}" if check.cause else ""
    return page(
        f"{check.code} {check.slug} ({check.severity}{cause})",
        world.voice.translate(title),
        [world.voice.translate(text) for text in rest],
        world.terminal,
    )


def _list(world: World, checks: Sequence[Check]) -> str:
    return listing(list(_rows(world, checks)), world.terminal)


def _rows(world: World, checks: Sequence[Check]) -> Iterator[tuple[str, str, str]]:
    for check in checks:
        yield check.code, check.slug, world.voice.translate(next(iter(paragraphs(check.page)), ""))
