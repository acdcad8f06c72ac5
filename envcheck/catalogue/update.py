"""What an index says beyond the shipped catalogue: made of its pages, kept as JSON, laid over the shipped tables.

Only releases that the shipped tables do not know are taken. What their CUDA builds hold kernels for stands on no
index page: it stays unknown, and the resolver says so.
"""

from collections.abc import Iterable

import msgspec

from envcheck.catalogue.files import Source
from envcheck.catalogue.releases import Release, Releases, Wheels
from envcheck.catalogue.wheelnames import Row, rows
from envcheck.model.base import Value
from envcheck.model.versions import numbers

SCHEMA = 1
LARGEST = 4 << 20
"""Bytes of a kept update."""
MOST_RELEASES = 60
"""New releases that an update may bring; more than that is no update but something else."""


class Update(Value, frozen=True, kw_only=True):
    """Wheels of new releases, from one index at one day."""

    schema: int = SCHEMA
    index: str
    date: str
    """YYYY-MM-DD."""
    wheels: tuple[Wheels, ...]


class UnlikelyError(ValueError):
    """What the index told cannot be torch's releases."""


def make(names: Iterable[str], index: str, date: str, shipped: Releases) -> Update:
    """The update that file names of wheels give.

    Raises:
        UnlikelyError: no wheel of torch among them, or releases that cannot be.
    """
    found = rows(names)
    if not found:
        raise UnlikelyError("no wheels of torch")
    new = [row for row in found if row.torch not in shipped.release]
    newest = max(map(numbers, shipped.release))
    if len({row.torch for row in new}) > MOST_RELEASES or any(numbers(row.torch)[0] > newest[0] + 1 for row in new):
        raise UnlikelyError("releases that cannot be")
    return Update(index=index, date=date, wheels=tuple(_wheels(row) for row in new if numbers(row.torch) > newest))


def _wheels(row: Row) -> Wheels:
    return Wheels(
        torch=row.torch,
        os=row.os,
        machine=row.machine,
        variants=" ".join(row.variants),
        default="" if row.labels else row.variants[0],
        labels=row.labels,
        pythons=" ".join(row.pythons),
        glibc=row.glibc,
        macos=row.macos,
        source="update",
    )


def encode(update: Update) -> bytes:
    """The update as JSON, to be kept."""
    return msgspec.json.format(msgspec.json.encode(update), indent=1)


def decode(data: bytes) -> Update:
    """A kept update.

    Raises:
        ValueError: it is not one.
    """
    if len(data) > LARGEST:
        raise ValueError("too large")
    try:
        update = msgspec.json.decode(data, type=Update)
    except msgspec.DecodeError as error:  # a ValueError only since msgspec 0.21
        raise ValueError(str(error)) from error
    if update.schema != SCHEMA:
        raise ValueError(f"of schema {update.schema}")
    return update


def laid_over(shipped: Releases, update: Update) -> Releases:
    """The shipped table with the releases that only the update knows."""
    new = tuple(row for row in update.wheels if row.torch not in shipped.release)
    told = Source(what=f"index {update.index}, read by envcheck catalogue update", date=update.date)
    return msgspec.structs.replace(
        shipped,
        index=shipped.index,
        source={**shipped.source, "update": told},
        release={**{row.torch: Release(source="update") for row in new}, **shipped.release},
        wheels=(*new, *shipped.wheels),
    )
