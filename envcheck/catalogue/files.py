"""The tables on disk: TOML into typed values, with the path of what does not fit."""

from pathlib import Path
from typing import TypeVar

import msgspec.toml

from envcheck.model.base import Value

DATA = Path(__file__).parent / "data"

Table = TypeVar("Table")


class Source(Value, frozen=True, kw_only=True):
    """Where a statement was read, and when."""

    what: str
    date: str


def read_table(path: Path, kind: type[Table]) -> Table:
    """The table in `path` as a `kind`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not TOML, or does not fit `kind`.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path.name}: {error}") from error
