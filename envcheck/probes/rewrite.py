"""What every edit of a configuration text rests on: it is readable before, and differs by what was asked after.

An edit puts in what is asked for and leaves every other byte alone; one that would change anything else is refused.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

from envcheck.model.base import Plain
from envcheck.model.errors import EnvcheckError
from envcheck.model.text import say
from envcheck.probes.configfiles import Entry, Parsed

Place = tuple[str, str]
"""Section and key."""


class Edit(Plain, frozen=True):
    """What to put into a tool's file: the lines as one would type them into an empty one, and the edit of a text.

    `rewrite` raises EnvcheckError for a text that its own tool cannot read, or that is not safe to edit.
    """

    lines: tuple[str, ...]
    rewrite: Callable[[str], str]


def readable(parsed: Parsed, tool: str) -> tuple[Entry, ...]:
    """The entries of a text, or an error when its own tool would refuse it."""
    if parsed.problems:
        what = say("{tool} itself cannot read this file: {reason}", tool=tool, reason=parsed.problems[0])
        raise EnvcheckError(what, mend=say("mend the file or move it away first"))
    return parsed.entries


def checked(text: str, new: Parsed, old: Mapping[Place, list[str]], wanted: Mapping[Place, list[str]]) -> str:
    """`text`, when what it now says is `old` with `wanted` put in, and nothing else."""
    if new.problems or values(new.entries) != {**old, **wanted}:
        refuse()
    return text


def values(entries: Iterable[Entry]) -> dict[Place, list[str]]:
    """The values of each place."""
    found: dict[Place, list[str]] = {}
    for entry in entries:
        found.setdefault((entry.section, entry.key), []).append(entry.value)
    return found


def refuse() -> NoReturn:
    """Give up on a text that has the thing in a form which cannot be edited safely."""
    mend = say("`envcheck mirrors use NAME --print` shows the lines to put in by hand")
    raise EnvcheckError(say("the form of this file is too unusual to be edited safely"), mend=mend)


def line_end(lines: list[str]) -> str:
    """How lines end there: as the first does."""
    match = re.search(r"\r\n|\r|\n", lines[0]) if lines else None
    return match[0] if match else "\n"


def close_last(lines: list[str]) -> None:
    """End the last line if it has no end."""
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += line_end(lines)


def append(lines: list[str], block: Iterable[str], *, gap: bool) -> None:
    """Put lines at the end; `gap`: behind an empty one where there is something before them."""
    close_last(lines)
    end = line_end(lines)
    if gap and lines and lines[-1].strip():
        lines.append(end)
    lines += [line + end for line in block]
