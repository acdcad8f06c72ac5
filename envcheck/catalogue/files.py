"""The tables on disk, into typed values, with the path of what does not fit.

People write TOML. `tools/tables.py` puts the same in JSON into `compiled/`, which is read fifty times faster; a table
that was changed since, or that is not ours, is read as TOML.
"""

import os
import zlib
from typing import TypeVar

import msgspec

from envcheck.model.base import Value

_HERE = os.path.dirname(__file__)
_PACKAGE = os.path.dirname(_HERE)
DATA = os.path.join(_HERE, "data")
COMPILED = os.path.join(_HERE, "compiled")

Table = TypeVar("Table")


class Source(Value, frozen=True, kw_only=True):
    """Where a statement was read, and when."""

    what: str
    date: str


def read_table(path: str | os.PathLike[str], kind: type[Table]) -> Table:
    """The table in `path` as a `kind`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not TOML, or does not fit `kind`.
    """
    with open(path, "rb") as file:
        source = file.read()
    made = _compiled(path, source)
    try:
        if made is not None:
            return msgspec.json.decode(made, type=kind)
        return msgspec.toml.decode(source, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"{os.path.basename(path)}: {error}") from error


def mirrors_folder() -> str:
    """Where the mirror files lie: in the package, or beside it in a checkout."""
    places = (os.path.join(folder, "mirrors") for folder in (_PACKAGE, os.path.dirname(_PACKAGE)))
    return next(place for place in places if os.path.isdir(place))


def official_host() -> str:
    """The host of PyTorch's own wheels; asked at every look, so without the module of the mirrors."""
    official: dict[str, list[str]] = read_table(os.path.join(mirrors_folder(), "official.toml"), dict)
    return official["hosts"][0]


def compiled_path(path: str | os.PathLike[str]) -> str:
    """Where the compiled form of a table lies: `messages/machine.toml` is `compiled/messages-machine.json`."""
    folder, name = os.path.split(path)
    return os.path.join(COMPILED, f"{os.path.basename(folder)}-{os.path.splitext(name)[0]}.json")


def compiled_form(source: bytes) -> bytes:
    """A compiled table: the checksum of its source, then the same document in JSON."""
    return b"%s\n%s\n" % (mark(source), msgspec.json.encode(msgspec.toml.decode(source)))


def mark(source: bytes) -> bytes:
    """The checksum by which a compiled table knows its source."""
    return b"%08x" % zlib.crc32(source)


def _compiled(path: str | os.PathLike[str], source: bytes) -> bytes | None:
    try:
        with open(compiled_path(path), "rb") as file:
            made_of, _, table = file.read().partition(b"\n")
    except OSError:
        return None
    return table if made_of == mark(source) else None
