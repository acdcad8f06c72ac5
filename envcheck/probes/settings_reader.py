"""One reader for every configuration file: what cannot be read becomes a note or a row `error`, never an exception."""

from collections.abc import Callable, Iterable

import msgspec

from envcheck.model.facts import Setting
from envcheck.model.urls import without_credentials
from envcheck.probes.configfiles import Entry, Parsed, decode
from envcheck.probes.system import System

LONGEST_FILE = 256 * 1024
_LONGEST_VALUE = 500
_ABSENT = ("ENOENT", "ENOTDIR")


class Reader:
    """Reads files through a system, keeps notes on those that cannot be used."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.notes: list[str] = []
        self.errors: list[Setting] = []

    def entries(self, tool: str, path: str, parse: Callable[[str], Parsed]) -> tuple[Entry, ...]:
        """The entries of a file, none when it is absent or unusable."""
        data, error = self.system.read_bytes(path, LONGEST_FILE)
        if error is not None or data is None:
            if error not in _ABSENT:
                self.notes.append(f"{path}: {error}")
            return ()
        text, problem = decode(data)
        parsed = parse(text)
        for reason in (problem,) if problem else parsed.problems:
            self.notes.append(f"{path}: {reason}")
            self.errors.append(Setting(tool=tool, key="error", value=reason, origin=path, effective=True))
        return parsed.entries

    def take_errors(self) -> tuple[Setting, ...]:
        """The rows `error` since the last call."""
        taken, self.errors = tuple(self.errors), []
        return taken


def join(system: System, *parts: str) -> str:
    """A path of the examined machine."""
    return ("\\" if system.windows else "/").join(part.rstrip("/\\") if part != "/" else "" for part in parts)


def origin(path: str, line: int) -> str:
    """`path:line`, or the path alone where the line is not known."""
    return f"{path}:{line}" if line else path


def clean(value: str, is_address: bool) -> str:
    """A value fit to be kept: an address without its secrets, no longer than a reader would look at."""
    return (without_credentials(value) if is_address or "@" in value else value)[:_LONGEST_VALUE]


def in_force(settings: Iterable[Setting], merged: Callable[[Setting], bool]) -> tuple[Setting, ...]:
    """Mark each row: those that `merged` accepts always count, of others the last rows of their key and origin."""
    rows = tuple(settings)
    last = {row.key: row.origin for row in rows}
    return tuple(msgspec.structs.replace(row, effective=merged(row) or last[row.key] == row.origin) for row in rows)
