"""Signatures of `messages/software.toml`: what they hear, what they must not hear, and that no text can slow them."""

import json
import re
import sys
from pathlib import Path
from textwrap import wrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envcheck.catalogue import Catalogue
from envcheck.catalogue.files import DATA, read_table
from envcheck.catalogue.messages import Signature, Signatures, signatures
from envcheck.model.facts import Message

SIGNATURES = signatures(read_table(Path(DATA) / "messages" / "software.toml", Signatures))
NAMES = [one.id for one in SIGNATURES]
CATALOGUE = Catalogue.shipped()


def heard(text: str) -> dict[str, dict[str, str]]:
    """Signature -> named groups of the first match."""
    said = CATALOGUE.recognise((Message(kind="error", text=text, look="text"),))
    return {name: rows[0][1] for name, rows in said.items()}


SAMPLES: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "raw" / "messages_software.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("sample", SAMPLES["heard"], ids=lambda sample: sample["id"])
def test_heard(sample: dict[str, Any]) -> None:
    found = heard(sample["text"])
    assert sample["id"] in found
    wanted = sample.get("groups", {})
    assert {key: found[sample["id"]].get(key) for key in wanted} == wanted


@pytest.mark.parametrize("sample", SAMPLES["not_heard"], ids=lambda sample: sample["id"])
def test_not_heard(sample: dict[str, Any]) -> None:
    assert sample["id"] not in heard(sample["text"])


def test_a_message_may_be_wrapped_anywhere_between_words() -> None:
    text = "The detected CUDA version (12.8)\nmismatches the version that was used to\ncompile PyTorch (11.8)"
    assert heard(text)["nvcc_mismatch_build"] == {"nvcc": "12.8", "built": "11.8"}


@pytest.mark.parametrize("width", [40, 60])
@pytest.mark.parametrize("hanging", ["", "    ", " " * 9])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("not_compiled_with_cuda", "AssertionError while the model was loaded: Torch not compiled with CUDA enabled"),
        ("numpy2_abi", "A module that was compiled using NumPy 1.x cannot be run in NumPy 2.1.3 as it may crash."),
        ("torchvision_mismatch", "RuntimeError: Couldn't load custom C++ ops. This can happen if they do not fit"),
        (
            "torchvision_mismatch",
            "torchvision 0.26.0 requires torch==2.11.0, but you have torch 2.12.0 which is incompatible.",
        ),
    ],
)
def test_a_console_may_have_broken_the_lines(name: str, text: str, hanging: str, width: int) -> None:
    assert name in heard("\n".join(wrap(text, width, subsequent_indent=hanging)))


def test_every_signature_has_a_sample() -> None:
    assert {sample["id"] for sample in SAMPLES["heard"]} == set(NAMES)


def test_ids_are_used_once_and_each_statement_names_its_source() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert all(one.source and one.date and one.contains for one in SIGNATURES)


if sys.version_info >= (3, 11):
    from re import _constants as opcodes
    from re import _parser as parser
else:
    import sre_constants as opcodes
    import sre_parse as parser


def _unbounded(tree: Any) -> bool:
    """Whether a parsed pattern repeats anything without an upper limit."""
    for operation, argument in tree:
        inner: list[Any] = []
        if operation in (opcodes.MAX_REPEAT, opcodes.MIN_REPEAT):
            if argument[1] is opcodes.MAXREPEAT:
                return True
            inner = [argument[2]]
        elif operation is opcodes.SUBPATTERN:
            inner = [argument[3]]
        elif operation is opcodes.BRANCH:
            inner = argument[1]
        elif operation in (opcodes.ASSERT, opcodes.ASSERT_NOT):
            inner = [argument[1]]
        if any(_unbounded(part) for part in inner):
            return True
    return False


@pytest.mark.parametrize("signature", SIGNATURES, ids=NAMES)
def test_every_repetition_is_bounded(signature: Signature) -> None:
    assert not any(_unbounded(parser.parse(pattern)) for pattern in signature.patterns)
    assert all(re.compile(pattern) for pattern in signature.patterns)


def test_the_check_on_bounds_can_fail() -> None:
    assert _unbounded(parser.parse("(?:a|b*)c"))


@pytest.mark.parametrize("signature", SIGNATURES, ids=NAMES)
def test_contains_lets_through_what_the_patterns_match(signature: Signature) -> None:
    """`contains` is a shortcut and must not hide a match: every sample of the id is found with it."""
    for sample in SAMPLES["heard"]:
        if sample["id"] == signature.id:
            assert any(word.casefold() in sample["text"].casefold() for word in signature.contains)


WORDS = sorted({word for sample in SAMPLES["heard"] for word in sample["text"].split()})


@given(
    st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=20)), max_size=60), st.sampled_from([" ", "\n", "\t"])
)
def test_groups_are_parts_of_any_text(words: list[str], between: str) -> None:
    text = between.join(words)
    for rows in CATALOGUE.recognise((Message(kind="log", text=text, look="text"),)).values():
        assert all(value in text for _, groups in rows for value in groups.values())
