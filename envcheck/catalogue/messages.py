r"""Signatures of what programs say, and which messages carry them.

A file below `data/messages/`:

    source = "where these texts were seen"      # of every signature that names none itself
    date = "2026-11-25"

    [[signature]]
    id = "driver_too_old"                       # a cause slug
    contains = ["found version"]                # optional: one of these must be in the text (letter case aside)
    patterns = ['found version (?P<found>\d{4,6})']
    kinds = ["error", "warning"]                # optional: message kinds; all when absent

Patterns are searched with `re.IGNORECASE | re.MULTILINE` over at most `CAP` characters, so quantifiers need
bounds: `[^\n]{0,200}` rather than `.*`. A signature matches a message once, by its first pattern that does.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache

import msgspec

from envcheck.model.base import Value
from envcheck.model.facts import Message
from envcheck.model.unbroken import unbroken

CAP = 65536
"""Characters of a message that are looked at."""
_SPACE = re.compile(r"(?P<kept>\\.|\[(?:\\.|[^\]\\])+\]| [?*+{])| ")
"""A space of a pattern, except one that is escaped, in a class or repeated."""
_BREAK = r"\s{1,14}"
"""What such a space stands for: one, or the end of a line and the indentation of the next."""
_WRAP = re.compile(r"\s+")


class Signature(Value, frozen=True, kw_only=True):
    """One way to say something that has a name."""

    id: str
    patterns: tuple[str, ...]
    contains: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    source: str = ""
    date: str = ""


class Signatures(Value, frozen=True, kw_only=True):
    """A file of them."""

    source: str = ""
    date: str = ""
    signature: tuple[Signature, ...] = ()


class Groups(dict[str, str]):
    """The named groups of a match that took part, and in `matched` the text that was recognised."""

    matched: str = ""


def signatures(table: Signatures) -> tuple[Signature, ...]:
    """The signatures of a file, each with its source and date."""
    return tuple(
        msgspec.structs.replace(one, source=one.source or table.source, date=one.date or table.date)
        for one in table.signature
    )


def recognise(
    known: Sequence[Signature], said: Iterable[Message]
) -> dict[str, tuple[tuple[Message, dict[str, str]], ...]]:
    """Signature id -> messages that match it, in the order they were said, each with the named groups found."""
    messages = [(message, _forms(message.text[:CAP])) for message in said]
    page = "\0".join(folded for _, forms in messages for _, folded in forms)
    # Of some hundred signatures a page has the words of a few.
    words = ((one, tuple(word for word in map(str.casefold, one.contains) if word in page)) for one in known)
    likely = [(one, there) for one, there in words if there or not one.contains]
    found: dict[str, list[tuple[Message, dict[str, str]]]] = {}
    for message, forms in messages:
        for one, there in likely:
            if one.kinds and message.kind not in one.kinds:
                continue
            near = [form for form, folded in forms if not there or any(word in folded for word in there)]
            groups = max((hit for form in near if (hit := _match(one, form)) is not None), key=len, default=None)
            if groups is not None and not any(seen is message for seen, _ in found.get(one.id, ())):
                found.setdefault(one.id, []).append((message, groups))
    return {name: tuple(matches) for name, matches in found.items()}


def _forms(text: str) -> list[tuple[str, str]]:
    """The text, and what it was before a window broke its lines, each with the form in which words are looked for."""
    whole = "\n".join(line for _, line in unbroken(text.split("\n"))) if "\n" in text else text
    return [(form, _folded(form)) for form in dict.fromkeys((whole, text))]


def _match(one: Signature, text: str) -> dict[str, str] | None:
    hits = (_compiled(pattern).search(text) for pattern in one.patterns)
    hit = next((hit for hit in hits if hit is not None), None)
    if hit is None:
        return None
    groups = Groups((name, value) for name, value in hit.groupdict().items() if value is not None)
    groups.matched = hit.group(0)
    return groups


def _folded(text: str) -> str:
    """The text in which a signature's words are looked for: in lower case, also where a line ends between them."""
    folded = text.casefold()
    return f"{folded}\n{_WRAP.sub(' ', folded)}" if "\n" in folded else folded


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, in which a space also stands for the end of a line that a terminal broke there."""
    flags = re.IGNORECASE | re.MULTILINE
    try:
        return re.compile(_SPACE.sub(lambda found: found["kept"] or _BREAK, pattern), flags)
    except re.error:  # a look behind has a width
        return re.compile(pattern, flags)
