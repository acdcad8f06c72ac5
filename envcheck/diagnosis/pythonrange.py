"""Installers that say for which versions of Python a package is made, and that this is none of them. Pure."""

import re
from collections.abc import Iterator

from envcheck.diagnosis.builds import Builds
from envcheck.model.base import Plain
from envcheck.model.facts import Message
from envcheck.model.versions import numbers


class OutsideRange(Plain, frozen=True):
    """A package, the Pythons that it asks for, and the one (or the range of them) that is there, where it is told."""

    message: Message
    groups: dict[str, str]
    name: str
    need: str
    have: str | None
    too_old: bool
    sure: bool = False


def outside_range(case: Builds) -> tuple[OutsideRange, ...]:
    """What pip, poetry, uv and conda's solver say, in that order."""
    return (*_by_pip(case), *_by_poetry(case), *_by_uv(case), *_by_solver(case), *_by_pips_list(case))


def _by_pip(case: Builds) -> Iterator[OutsideRange]:
    for message, groups in case.said("pip_python_required"):
        have, need = groups["have"], groups["need"]
        too_old = any(numbers(have)[:2] < bound for bound in _bounds(need, ">"))
        yield OutsideRange(message, groups, groups["name"], need, have, too_old, sure=True)


def _by_poetry(case: Builds) -> Iterator[OutsideRange]:
    """Poetry wants a release for every Python that the project names: those beyond the upper bound are too new."""
    for message, groups in case.said("poetry_python"):
        need, have = groups["need"], groups.get("have")
        yield OutsideRange(message, groups, groups["name"], need, have, too_old=not _bounds(need, "<"))


def _by_uv(case: Builds) -> Iterator[OutsideRange]:
    for message, groups in case.said("uv_python_range"):
        have, need = groups["have"], groups["need"]
        yield OutsideRange(message, groups, groups["name"], need, have, too_old=bool(_bounds(need, ">")))


def _by_solver(case: Builds) -> Iterator[OutsideRange]:
    """The tree that libmamba draws: pytorch's builds with their Pythons, and the Python that is pinned."""
    for message, groups in case.said("mamba_python"):
        tree = message.text
        needs = re.findall(r"python (>=3\.\d{1,2},<3\.\d{1,2})", tree)
        pinned = re.search(r"python (?:==? ?)?(3\.\d{1,2})(?:\.\*|\.\d{1,2})?(?:\s|=\*|,|$)", tree)
        have = pinned[1] if pinned else None
        if needs and "pytorch" in tree:
            lowest = min(bound for need in needs for bound in _bounds(need, ">"))
            too_old = have is not None and numbers(have) < lowest
            yield OutsideRange(message, groups, "pytorch", groups["need"], have, too_old, sure=have is not None)


def _by_pips_list(case: Builds) -> Iterator[OutsideRange]:
    """Releases that pip left out for their Python: of the one that was asked for, else of the last in the list."""
    names = {id(message): groups for message, groups in (*case.said("unmet_other"), *case.said("none_of_other"))}
    for message, groups in case.said("ignored_for_python"):
        wanted = names.get(id(message), {})
        rows = re.findall(r"(\d[\w.]*) Requires-Python ([<>=!~\d., ]+)", groups["list"])
        needs = dict(rows)
        need = needs.get(wanted.get("wanted", ""), rows[-1][1] if rows else "").strip(" ,;")
        have = case.facts.python.version
        if not wanted or not need or (wanted.get("wanted") and wanted["wanted"] not in needs):
            continue
        below = _bounds(need, "<")
        too_old = any(numbers(have)[:2] < bound for bound in _bounds(need, ">")) if have else not below
        yield OutsideRange(message, groups, wanted["name"], need, have, too_old, sure=have is not None)


def _bounds(need: str, sign: str) -> list[tuple[int, ...]]:
    return [numbers(part.strip(" <>=!~"))[:2] for part in need.split(",") if part.strip().startswith(sign)]
