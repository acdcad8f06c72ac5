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
    found: dict[str, list[tuple[Message, dict[str, str]]]] = {}
    for message in said:
        text = message.text[:CAP]
        whole = "\n".join(line for _, line in unbroken(text.split("\n"))) if "\n" in text else text
        forms = [(form, form.casefold()) for form in dict.fromkeys((whole, text))]
        for one in known:
            hits = [hit for form, folded in forms if (hit := _match(one, message.kind, form, folded)) is not None]
            groups = max(hits, key=len, default=None)
            if groups is not None and not any(seen is message for seen, _ in found.get(one.id, ())):
                found.setdefault(one.id, []).append((message, groups))
    return {name: tuple(matches) for name, matches in found.items()}


def _match(one: Signature, kind: str, text: str, folded: str) -> dict[str, str] | None:
    if one.kinds and kind not in one.kinds:
        return None
    if one.contains and not any(word.casefold() in folded for word in one.contains):
        return None
    hits = (_compiled(pattern).search(text) for pattern in one.patterns)
    hit = next((hit for hit in hits if hit is not None), None)
    if hit is None:
        return None
    groups = Groups((name, value) for name, value in hit.groupdict().items() if value is not None)
    groups.matched = hit.group(0)
    return groups


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE)
