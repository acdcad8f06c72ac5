"""`envcheck snapshot`: what was seen of this machine, redacted, as a file."""

import click

from envcheck.commands.clickwork import command
from envcheck.commands.looking import look, looking_options
from envcheck.commands.world import World


@command("snapshot")
@click.argument("file", default="-", metavar="[FILE]")
@looking_options
@click.pass_obj
def snapshot(world: World, file: str, python: str | None, deadline: float, torch: bool) -> None:
    """Write what was seen of this machine to FILE (standard output without one).

    User and host names, the home directory and credentials are taken out. `envcheck doctor --from FILE` gives the
    report of this machine anywhere.
    """
    from envcheck.commands.files import check_writable, write_whole
    from envcheck.model.codec import encode
    from envcheck.render.document import to_json

    if file != "-":
        check_writable(file)
    facts = look(world, python=python, deadline=deadline, torch=torch)
    if file == "-":
        world.write(to_json(facts, world.out))
    else:
        write_whole(file, encode(facts))
