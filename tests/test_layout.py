"""Widths and wrapping in terminal cells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envcheck.render.layout import cells, cut, fill, pad, wrap

WORDS = st.text(st.sampled_from("ab c显卡，。（）\u0301-/ "), max_size=80)


@pytest.mark.parametrize(
    ("text", "width"), [("", 0), ("abc", 3), ("显卡", 4), ("é", 1), ("e\u0301", 1), ("ｆ", 2), ("✓", 1), ("…", 1)]
)
def test_cells(text: str, width: int) -> None:
    assert cells(text) == width


@given(WORDS, st.integers(4, 40))
def test_lines_fit_and_keep_every_character_but_spaces(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(cells(line) <= width or " " not in line for line in lines)


@given(WORDS)
def test_a_line_that_fits_is_not_broken(text: str) -> None:
    assert wrap(text, 1000) == [text.strip()]


def test_a_long_word_stands_alone_and_whole() -> None:
    address = "https://download.pytorch.org/whl/cu126/torch-2.13.0%2Bcu126-cp311-cp311-linux_x86_64.whl"
    assert wrap(f"see {address} for it", 20) == ["see", address, "for it"]


def test_chinese_breaks_between_characters_but_not_before_punctuation() -> None:
    assert wrap("本机有显卡，但驱动太旧。", 10) == ["本机有显", "卡，但驱动", "太旧。"]
    assert wrap("安装（推荐）的版本", 6) == ["安装", "（推", "荐）的", "版本"]


@given(WORDS, st.integers(3, 30))
def test_cut_text_fits(text: str, width: int) -> None:
    assert cells(cut(text, width, "...")) <= max(width, 3)


def test_pad_counts_cells() -> None:
    assert pad("显卡", 6) == "显卡  "
    assert pad("too long", 3) == "too long"


@pytest.mark.parametrize(
    ("parts", "width", "lines"),
    [
        ((), 10, [""]),
        (("one", "two"), 10, ["one, two"]),
        (("one", "two and three"), 14, ["one,", "two and three"]),
        (("one", "two and three", "4"), 9, ["one,", "two and", "three,", "4"]),
        (("x" * 12, "y"), 8, ["x" * 12 + ",", "y"]),
    ],
)
def test_a_line_ends_between_two_parts_where_it_can(parts: tuple[str, ...], width: int, lines: list[str]) -> None:
    assert fill(parts, ", ", width) == lines
