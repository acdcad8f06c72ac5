"""Limits, pages and known troubles of the software around torch: `data/software.toml`."""

from functools import cache

from envcheck.catalogue.files import DATA, read_table
from envcheck.model.base import Value


class Statement(Value, frozen=True, kw_only=True):
    """One value and who says so."""

    value: str
    source: str
    date: str


class Fault(Value, frozen=True, kw_only=True):
    """A release of torch that fails by its own fault: `library` cannot be loaded, since `what` is not there."""

    torch: str
    os: str
    library: str
    good: str
    what: str
    source: str
    date: str


class Address(Value, frozen=True, kw_only=True):
    """A channel or host (a part of its address) and what became of it: `gone` or `frozen`."""

    match: str
    state: str
    source: str
    date: str


class Software(Value, frozen=True, kw_only=True):
    """The whole data file."""

    limit: dict[str, Statement]
    page: dict[str, Statement]
    fault: tuple[Fault, ...] = ()
    address: tuple[Address, ...] = ()
    module: dict[str, str] = {}


@cache
def software() -> Software:
    """The data file, read once."""
    return read_table(f"{DATA}/software.toml", Software)


def limit(name: str) -> str:
    """The limit of that name."""
    return software().limit[name].value


def page(name: str) -> str:
    """The address of the page of that name."""
    return software().page[name].value


def fault(library: str, os: str | None) -> Fault | None:
    """The release of torch that is known to fail at that library on that system."""
    return next((one for one in software().fault if (one.library, one.os) == (library.casefold(), os)), None)


def address(url: str) -> Address | None:
    """What became of the channel or host that `url` names, if anything did."""
    plain = url.rstrip("/").casefold()
    return next((one for one in software().address if one.match in plain), None)


def distribution_of(module: str) -> str | None:
    """The distribution that carries a module which torch imports."""
    return software().module.get(module)
