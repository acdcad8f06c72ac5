"""`contains` is a quick look before the patterns: whatever a pattern matches must hold one of its words."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import envcheck
from envcheck.diagnosis.evidence.draft import telling
from envcheck.diagnosis.evidence.surroundings import MARKS, Mark

try:
    from re import _constants as constants  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_constants as constants
    import sre_parse as parser

FOLDER = Path(envcheck.__file__).parent / "catalogue" / "compiled"
MOST = 600
"""Ways through a pattern that are followed."""
ANYTHING = "\0"
REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT, getattr(constants, "POSSESSIVE_REPEAT", None))


def signatures() -> Iterator[tuple[str, list[str], list[str]]]:
    for path in sorted(FOLDER.glob("messages-*.json")):
        for one in json.loads(path.read_text("utf-8").partition("\n")[2])["signature"]:
            if one.get("contains"):
                yield one["id"], [word.casefold() for word in one["contains"]], one["patterns"]


def ways(items: list[tuple[object, object]]) -> list[str]:
    """What every match holds, one text for each way through alternatives; what varies is ANYTHING."""
    found = [""]
    for kind, value in items:
        nexts = [ANYTHING]
        if kind is constants.LITERAL:
            nexts = [chr(value)]  # type: ignore[call-overload]
        elif kind is constants.IN:
            nexts = one_of(value)  # type: ignore[arg-type]
        elif kind is constants.SUBPATTERN:
            nexts = ways(list(value[-1]))  # type: ignore[index]
        elif kind is constants.BRANCH:
            nexts = [way for branch in value[1] for way in ways(list(branch))]  # type: ignore[index]
        elif kind in REPEATS:
            least, most, inner = value  # type: ignore[misc]
            texts = ways(list(inner))
            nexts = [ANYTHING] if least == 0 else texts if most == 1 else [text + ANYTHING for text in texts]
            if texts == [" "]:
                nexts = [" "] if least else ["", " "]
        elif kind in (constants.AT, constants.ASSERT, constants.ASSERT_NOT):
            nexts = [""]
        found = [before + after for before in found for after in nexts][:MOST]
    return found


def one_of(members: list[tuple[object, object]]) -> list[str]:
    """The few characters of a class, without letter case; white space is a space, as texts have it."""
    if members == [(constants.CATEGORY, constants.CATEGORY_SPACE)]:
        return [" "]
    if any(kind is not constants.LITERAL for kind, _ in members):
        return [ANYTHING]
    return sorted({chr(value).casefold() for _, value in members})  # type: ignore[call-overload]


@pytest.mark.parametrize(("words", "patterns"), [pytest.param(w, p, id=name) for name, w, p in signatures()])
def test_no_way_through_a_pattern_goes_past_its_words(words: list[str], patterns: list[str]) -> None:
    for pattern in patterns:
        tree = list(parser.parse(pattern, re.IGNORECASE | re.MULTILINE))
        dead = [way for way in ways(tree) if not any(word in way.casefold() for word in words)]
        assert not dead, (pattern, dead[0])


@pytest.mark.parametrize("patterns", [pytest.param(p, id=name) for name, _, p in signatures()])
def test_pasted_text_that_a_pattern_matches_is_kept(patterns: list[str]) -> None:
    """Of what people paste, a paragraph without any telling word is left out."""
    for pattern in patterns:
        found = ways(list(parser.parse(pattern, re.IGNORECASE | re.MULTILINE)))
        lost = [way for way in found if not telling(way.replace(ANYTHING, " x "))]
        assert not lost, (pattern, lost[0])


@pytest.mark.parametrize("mark", [mark for mark in MARKS if mark.needs], ids=lambda mark: str(mark.facts[0][:2]))
def test_no_way_through_a_mark_goes_past_its_words(mark: Mark) -> None:
    tree = list(parser.parse(mark.words.pattern, mark.words.flags))
    dead = [way for way in ways(tree) if not any(word in way.casefold() for word in mark.needs)]
    assert not dead, (mark.words.pattern, dead[0])
