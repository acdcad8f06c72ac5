"""The folder where envcheck keeps what it learnt since it was shipped, and the catalogue with that laid over it."""

import os
import sys
from typing import TYPE_CHECKING

from envcheck.model.text import say

if TYPE_CHECKING:
    from envcheck.catalogue import Catalogue
    from envcheck.commands.world import World

FILE = "catalogue.json"
_FOLDER = "ENVCHECK_CACHE"


def folder(world: "World") -> str | None:
    """ENVCHECK_CACHE, else the user's cache folder; None for a machine that is not the real one."""
    told = world.env(_FOLDER)
    if told:
        return told
    return _usual(world) if world.real else None


def _usual(world: "World") -> str:
    """The user's cache folder. On Linux without platformdirs, whose import takes a tenth of the time of a diagnosis."""
    home, base = world.env("HOME") or "", world.env("XDG_CACHE_HOME") or ""
    if sys.platform == "linux" and home.startswith("/"):
        return os.path.join(base if base.startswith("/") else os.path.join(home, ".cache"), "envcheck")
    from platformdirs import user_cache_dir

    return user_cache_dir("envcheck", appauthor=False)


def updated(world: "World", shipped: "Catalogue") -> "Catalogue":
    """The shipped catalogue, with the kept update over it if there is one that can be read."""
    place = folder(world)
    if place is None:
        return shipped
    path = os.path.join(place, FILE)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return shipped
    from envcheck.catalogue.update import decode

    try:
        return shipped.with_update(decode(data))
    except ValueError as error:
        world.warn(say("the kept catalogue cannot be used ({reason}): {file}; envcheck catalogue update renews it",
                       reason=str(error).splitlines()[0][:80], file=path))  # fmt: skip
        return shipped
