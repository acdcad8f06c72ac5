"""The gate between untrusted text and a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envcheck.render.clean import clean, clean_lines

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@given(ANY_TEXT)
def test_nothing_but_printable_characters_passes(text: str) -> None:
    cleaned = clean(text)
    assert cleaned.isprintable()
    assert not {unicodedata.category(char) for char in cleaned} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(ANY_TEXT)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_text_passes_as_it_is(text: str) -> None:
    assert clean(text) == text


@given(ANY_TEXT)
def test_lines_are_clean_and_none_is_lost(text: str) -> None:
    lines = clean_lines(text)
    assert len(lines) == len(text.splitlines())
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("a\u2066b\u2069", r"a\u2066b\u2069"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\udcff bytes", r"\udcff bytes"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("two\nlines\r\nand\ta tab", "two lines and a tab"),
        ("显卡 NVIDIA®", "显卡 NVIDIA®"),
        ("NUL\x00", r"NUL\x00"),
    ],
)
def test_known_tricks_become_visible(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown
