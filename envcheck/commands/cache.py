"""The folder where envcheck keeps what it learnt since it was shipped, and the catalogue with that laid over it."""

from pathlib import Path
from typing import TYPE_CHECKING

from envcheck.model.text import say

if TYPE_CHECKING:
    from envcheck.catalogue import Catalogue
    from envcheck.commands.world import World

FILE = "catalogue.json"
_FOLDER = "ENVCHECK_CACHE"


def folder(world: "World") -> Path | None:
    """ENVCHECK_CACHE, else the user's cache folder; None for a machine that is not the real one."""
    told = world.env(_FOLDER)
    if told:
        return Path(told)
    if not world.real:
        return None
    from platformdirs import user_cache_path

    return user_cache_path("envcheck", appauthor=False)


def updated(world: "World", shipped: "Catalogue") -> "Catalogue":
    """The shipped catalogue, with the kept update over it if there is one that can be read."""
    place = folder(world)
    if place is None:
        return shipped
    file = place / FILE
    try:
        data = file.read_bytes()
    except OSError:
        return shipped
    from envcheck.catalogue.update import decode

    try:
        return shipped.with_update(decode(data))
    except ValueError as error:
        world.warn(say("the kept catalogue cannot be used ({reason}): {file}; envcheck catalogue update renews it",
                       reason=str(error).splitlines()[0][:80], file=file))  # fmt: skip
        return shipped
