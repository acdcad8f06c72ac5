"""Links of index pages, from true forms, mirrors' forms, and pages made to hurt."""

import json
from html import escape
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envcheck.catalogue.indexpage import IndexPage, Link, parse

BASE = "https://m.example/whl/cu126/torch/"
WHEEL = "torch-2.13.0+cu126-cp311-cp311-linux_x86_64.whl"


@pytest.mark.parametrize(
    ("tag", "url"),
    [
        (
            '<a href="/whl/cu126/torch-2.13.0%2Bcu126-cp311-cp311-linux_x86_64.whl#sha256=00">',
            "https://m.example/whl/cu126/torch-2.13.0%2Bcu126-cp311-cp311-linux_x86_64.whl",
        ),
        (f'<A  rel=x\n HREF = "{WHEEL}">', BASE + WHEEL),
        (f"<a href='{WHEEL.replace('+', '&#43;')}'>", BASE + WHEEL),
        (f"<a href=https://r2.example/{WHEEL}>", "https://r2.example/" + WHEEL),
        (f'<a href="//r2.example/{WHEEL}" data-requires-python="&gt;=3.10">', "https://r2.example/" + WHEEL),
    ],
)
def test_link_forms(tag: str, url: str) -> None:
    page = parse(f"<html><body>{tag}{WHEEL}</a></body>".encode(), "text/html", BASE)
    assert page == IndexPage("html", (Link(url, WHEEL),))
    assert page.links[0].is_file


def test_what_is_no_link() -> None:
    text = (
        '<abbr href="x.whl"><a name="top"><a href="mailto:x@y"><a href="javascript:1"><a href="http://[::1"><a href="'
    )
    assert [link.url for link in parse(text.encode(), "text/html", BASE).links] == []


def test_yanked_and_folders() -> None:
    page = parse(b'<a href="a-1.whl" data-yanked="bad">a</a><a href="../numpy/">n</a>', "text/html", BASE)
    assert page.links == (Link(BASE + "a-1.whl", "a-1.whl", True), Link("https://m.example/whl/cu126/numpy/", "numpy"))
    assert not page.links[1].is_file


def test_json() -> None:
    body = json.dumps(
        {
            "files": [
                {"url": "../../" + WHEEL, "yanked": False},
                {"url": 3},
                "x",
                {"url": "https://r2/x-1.whl", "yanked": "why"},
            ]
        }
    )
    page = parse(body.encode(), "application/vnd.pypi.simple.v1+json", BASE)
    assert page.kind == "json"
    assert [(link.url, link.yanked) for link in page.links] == [
        ("https://m.example/whl/" + WHEEL, False),
        ("https://r2/x-1.whl", True),
    ]
    projects = parse(b'{"projects": [{"name": "torch"}, {}]}', "application/json", "https://m.example/whl/")
    assert parse(b'{"files": [], "projects": 3}', "application/json", BASE) == IndexPage("json", ())
    assert projects.links == (Link("https://m.example/whl/torch/", "torch"),)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"\xff\xfe", b'{"files": 1}', b'{"projects": "ab"}', b"[" * 100_000, b"NaN"]
)
def test_json_that_is_none(body: bytes) -> None:
    assert parse(body, "application/vnd.pypi.simple.v1+json", BASE) == IndexPage("unreadable", ())


@pytest.mark.parametrize(
    "piece",
    ["<a ", "<!--", "<![", "<a href=", '<a href="', "<a href='x", "<a\thref\t", "&#", "<a href = ", "<a " + "x" * 4000],
)
def test_pages_made_to_hurt_are_read_in_linear_work(piece: str) -> None:
    body = (piece * (200_000 // len(piece))).encode()
    assert parse(body, "text/html", BASE).links == () or piece == "<a href='x"


NAMES = st.text(st.characters(codec="ascii", exclude_characters="\0\r\n\t \\"), min_size=1, max_size=30)


@given(st.lists(NAMES.filter(lambda name: name not in (".", "..")), max_size=20))
def test_names_come_back(names: list[str]) -> None:
    body = "".join(f'<a href="{escape(quote(name, safe=""))}">x</a>\n' for name in names)
    assert [link.name for link in parse(body.encode(), "text/html", BASE).links] == names


@given(st.binary(max_size=400), st.sampled_from(["text/html", "application/json", ""]))
def test_any_page_is_taken(body: bytes, kind: str) -> None:
    for link in parse(b"<a href=" + body, kind, BASE).links:
        assert link.url.startswith("http")
