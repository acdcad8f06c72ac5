"""Snapshots: facts as JSON, and back with a clear word about what is wrong and where."""

import re
from typing import Any

import msgspec

from envcheck.model.errors import EnvcheckError
from envcheck.model.facts import FACTS_SCHEMA, Facts
from envcheck.model.patterns import regex
from envcheck.model.text import Text, say

LARGEST = 16 << 20
"""Characters of a snapshot; real ones have some ten thousand."""
_PLACE = regex(r"^(?P<problem>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_BYTE = regex(r" \(byte (\d+)\)$")


def encode(facts: Facts) -> bytes:
    """A snapshot: indented JSON in UTF-8, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n"


def decode(text: str, *, where: str = "") -> Facts:
    """The facts of a snapshot, or of a JSON report (its `facts`). `where` names the source in errors.

    Raises:
        EnvcheckError: truncated, not JSON, no snapshot, of a newer schema, or with a value of a wrong type.
    """
    again = say("write it again with `envcheck snapshot {file}`", file="FILE")
    if len(text) > LARGEST:
        what = say("larger than {size} MiB: not a snapshot", size=LARGEST >> 20)
        raise EnvcheckError(what, where=where, mend=again)
    document, path = _parsed(text, where, again), "$"
    if isinstance(document, dict) and isinstance(document.get("facts"), dict):
        document, path = document["facts"], "$.facts"
    if not isinstance(document, dict) or "schema" not in document:
        raise EnvcheckError(say("not a snapshot: it has no `schema`"), where=where, mend=again)
    schema = document["schema"]
    if isinstance(schema, int) and schema > FACTS_SCHEMA:
        what = say("a snapshot of schema {schema}; this envcheck reads {known}", schema=schema, known=FACTS_SCHEMA)
        raise EnvcheckError(what, where=where, mend=say("update envcheck"))
    try:
        if schema != FACTS_SCHEMA or isinstance(schema, bool):
            raise msgspec.ValidationError(f"Expected `{FACTS_SCHEMA}`, got `{schema!r:.40}` - at `$.schema`")
        return msgspec.convert(document, Facts)
    except msgspec.ValidationError as error:
        raise _wrong(str(error), path, where, again) from None


def _parsed(text: str, where: str, again: Text) -> Any:
    try:
        data = text.encode("utf-8")
        return msgspec.json.decode(data)
    except UnicodeEncodeError as error:
        what = say("not text: half a character at position {position}", position=error.start)
        raise EnvcheckError(what, where=where, mend=again) from None
    except RecursionError:
        raise EnvcheckError(say("not a snapshot: nested too deeply"), where=where, mend=again) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = str(error)
        if "truncated" in message:
            what = say("the file ends too early: it was cut off")
            raise EnvcheckError(what, where=_line(where, len(data), data), mend=again) from None
        place = _BYTE.search(message)
        at = _line(where, int(place[1]), data) if place else where
        what = say("not valid JSON: {problem}", problem=_BYTE.sub("", message))
        raise EnvcheckError(what, where=at, mend=again) from None


def _wrong(message: str, path: str, where: str, again: Text) -> EnvcheckError:
    match = _PLACE.match(message)
    problem, inside = (match["problem"], match["path"] or "$") if match else (message, "$")
    at = path + inside[1:]
    return EnvcheckError(
        say("not a snapshot that this envcheck can read: {problem}", problem=problem),
        where=f"{where}: {at}" if where else at,
        mend=again,
    )


def _line(where: str, offset: int, data: bytes) -> str:
    line = f"line {data[:offset].count(10) + 1}"
    return f"{where}: {line}" if where else line
