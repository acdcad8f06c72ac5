"""`envcheck explain`: every page, in both languages, and a hint at the nearest for what is no code."""

import re

import pytest
from helpers.cli import invoke

from envcheck.diagnosis.check import Check
from envcheck.diagnosis.checks import CHECKS
from envcheck.locale import paragraphs
from envcheck.model.errors import Exit
from envcheck.render.layout import cells

HAN = re.compile(r"[\u4e00-\u9fff]")


def by_code(check: Check) -> str:
    return check.code


@pytest.mark.parametrize("check", CHECKS, ids=by_code)
def test_every_code_has_a_page_of_four_parts(check: Check) -> None:
    title, *rest = paragraphs(check.page)
    assert title
    heads = [part.partition(":")[0] for part in rest if not part.startswith(("- ", "* "))]
    assert heads[:3] == ["What it means", "Common causes", "What to do"]
    shown = invoke("explain", check.code).out
    assert shown.startswith(f"{check.code} {check.slug} ({check.severity}")
    assert re.sub(r"\s+", " ", title) in re.sub(r"\s+", " ", shown)


@pytest.mark.parametrize("check", CHECKS, ids=by_code)
def test_every_page_is_chinese_in_every_paragraph(check: Check) -> None:
    shown = invoke("explain", check.code, "--lang", "zh").out
    blocks = shown.split("\n", 1)[1].split("\n\n")
    assert len(blocks) == len(paragraphs(check.page))
    assert all(HAN.search(block) for block in blocks)


def test_codes_and_slugs_are_unique() -> None:
    assert len({check.code for check in CHECKS}) == len({check.slug for check in CHECKS}) == len(CHECKS)
    assert all(re.fullmatch(r"EC\d{3}", check.code) for check in CHECKS)
    assert len(CHECKS) >= 60


def test_a_slug_and_a_code_in_any_case_show_the_same_page() -> None:
    check = CHECKS[0]
    assert invoke("explain", check.slug) == invoke("explain", check.code.lower()) == invoke("explain", check.code)


def test_a_beginning_lists_its_codes() -> None:
    shown = invoke("explain", "EC2").out
    assert [line[:5] for line in shown.splitlines() if line.startswith("EC")] == [
        check.code for check in CHECKS if check.code.startswith("EC2")
    ]


def test_a_cause_shows_what_names_it() -> None:
    causes = [check.cause for check in CHECKS if check.cause]
    alone = next(cause for cause in causes if causes.count(cause) == 1)
    assert f", {alone})" in invoke("explain", alone).out


def test_without_a_name_all_are_listed_and_lines_fit() -> None:
    shown = invoke("explain", environ={"COLUMNS": "80"}).out
    assert all(f"{check.code}  {check.slug}" in shown for check in CHECKS)
    assert all(cells(line) <= 80 for line in shown.splitlines())


def test_several_pages() -> None:
    one, two = CHECKS[0].code, CHECKS[1].code
    assert invoke("explain", one, two).out == f"{invoke('explain', one).out}\n{invoke('explain', two).out}"


@pytest.mark.parametrize(
    ("name", "hint"), [("EC-301", "EC301"), (CHECKS[3].slug[:-1] + "x", CHECKS[3].slug), ("qqqqqq", "envcheck explain")]
)
def test_what_is_no_code_gets_the_nearest(name: str, hint: str) -> None:
    ended = invoke("explain", name)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert hint in ended.err.splitlines()[1]
