"""CUDA toolkits and the NVIDIA drivers that they need."""

from envcheck.model.base import Value
from envcheck.model.versions import at_least, numbers, same_release


class Toolkit(Value, frozen=True, kw_only=True):
    """A CUDA version and the driver that came with its first release, per system.

    `branch`: first number of the driver branch that speaks it. `branch_only`: drivers report this version, but no
    toolkit of that number was published.
    """

    cuda: str
    branch: str
    linux: str | None = None
    windows: str | None = None
    branch_only: bool = False
    source: str
    date: str


class Family(Value, frozen=True, kw_only=True):
    """Toolkits `first` to `last` run on any driver from `linux` or `windows` on (minor-version compatibility)."""

    first: str
    last: str
    linux: str
    windows: str
    source: str
    date: str


class Drivers(Value, frozen=True, kw_only=True):
    """`data/drivers.toml`, toolkits newest first."""

    toolkit: tuple[Toolkit, ...]
    family: tuple[Family, ...]


def minimum(table: Drivers, cuda: str, os: str) -> str | None:
    """The oldest driver that runs toolkit `cuda`: its family's, else the one that came with it."""
    for family in table.family:
        if at_least(cuda, family.first) and numbers(cuda)[:2] <= numbers(family.last):
            return _on(family, os)
    return exact(table, cuda, os)


def exact(table: Drivers, cuda: str, os: str) -> str | None:
    """The driver that came with toolkit `cuda` (`12.6.3` is asked as 12.6)."""
    row = next((row for row in table.toolkit if numbers(row.cuda) == numbers(cuda)[:2]), None)
    return None if row is None else _on(row, os)


def cuda_of(table: Drivers, driver: str, os: str) -> str | None:
    """The CUDA version of the newest branch that is not newer than `driver`; None where NVIDIA has no drivers."""
    rows = (row for row in table.toolkit if _on(row, os) is not None)
    return next((row.cuda for row in rows if at_least(driver, row.branch)), None)


def reaches(driver: str, needed: str) -> bool:
    """Whether `driver` is `needed` or newer; one told in part (`465.19`, `580`) agrees as far as it goes."""
    return at_least(driver, needed) or same_release(driver, needed)


def _on(row: Toolkit | Family, os: str) -> str | None:
    return {"linux": row.linux, "windows": row.windows}.get(os)
