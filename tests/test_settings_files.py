"""Readers of INI, TOML and YAML: what pip, uv and conda would see, and no exception whatever the bytes."""

import configparser
from itertools import pairwise

import pytest
import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from envcheck.probes.configfiles import MOST_ENTRIES, Parsed, decode, ini, toml, yaml


def pairs(parsed: Parsed) -> list[tuple[str, str]]:
    return [(entry.key, entry.value) for entry in parsed.entries]


def test_ini_as_pip_reads_it() -> None:
    text = "# c\n[global]\nIndex_URL = https://a ; no comment\nextra-index-url =\n  https://b\n\n  https://c\n"
    text += "[install]\n--pre: yes"
    parsed = ini(text)
    assert parsed.problems == ()
    assert [astuple(entry) for entry in parsed.entries] == [
        ("global", "index-url", "https://a ; no comment", 3),
        ("global", "extra-index-url", "https://b\nhttps://c", 4),
        ("install", "pre", "yes", 9),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("index-url = a\n", "line 1: stands before the first [section]"),
        ("\ufeff[global]\nno-index = 1\n", "line 1: a byte order mark"),
        ("[global]\nindex-url = a\nindex_url = b\n", "line 3: `index-url` twice in [global]"),
        ("[a]\n[b]\n[a]\n", "line 3: [a] twice"),
        ("[global]\nnothing here\n", "line 2: no `key = value`"),
    ],
)
def test_ini_that_pip_refuses(text: str, problem: str) -> None:
    assert ini(text).problems == (problem,)


INI_LINES = st.lists(
    st.sampled_from(
        ["[global]", "[install]", "a = 1", "b: 2", "  more", "   ", "# note", "; note", "c =", " d = x = y", "e", "[f"]
    ),
    max_size=12,
)


@given(INI_LINES, st.sampled_from(["\n", "\r\n"]))
def test_ini_agrees_with_configparser(lines: list[str], newline: str) -> None:
    text = newline.join(lines)
    reference = configparser.RawConfigParser()
    parsed = ini(text)
    try:
        reference.read_string(text)
    except configparser.Error:
        assert parsed.problems
        return
    assert not parsed.problems
    wanted = {(name, key): value.split() for name in reference.sections() for key, value in reference[name].items()}
    assert {(entry.section, entry.key): entry.value.split() for entry in parsed.entries} == wanted


def test_toml_flattened() -> None:
    parsed = toml(
        'index-url = "https://a"\n[[index]]\nurl = "https://b"\ndefault = true\n[pip]\nextra-index-url = ["c1", "d1"]\n'
    )
    assert [(entry.section, entry.key, entry.value, entry.line) for entry in parsed.entries] == [
        ("", "index-url", "https://a", 1),
        ("index[0]", "url", "https://b", 3),
        ("index[0]", "default", "true", 4),
        ("pip", "extra-index-url", "c1", 6),
        ("pip", "extra-index-url", "d1", 6),
    ]
    assert toml("a = 1\na = 2\n").problems
    assert toml("\ufeffa = 1\n").problems == ()  # uv 0.13.9 reads it


def test_yaml_flattened() -> None:
    text = "channels: # mine\n  - conda-forge\n  - https://x/y\ncustom_channels: {pytorch: https://z, 'a b': w}\n"
    text += "ssl_verify: no\nempty:\n"
    assert [astuple(entry)[1:] for entry in yaml(text).entries] == [
        ("channels", "conda-forge", 2),
        ("channels", "https://x/y", 3),
        ("custom_channels.pytorch", "https://z", 4),
        ("custom_channels.a b", "w", 4),
        ("ssl_verify", "no", 5),
        ("empty", "", 6),
    ]


def test_yaml_anchors_and_merges() -> None:
    text = "a: &list [x, y]\nb: *list\nc: &map {k: v}\nd:\n  <<: *map\n  j: w\n"
    assert pairs(yaml(text))[2:] == [("b", "x"), ("b", "y"), ("c.k", "v"), ("d.k", "v"), ("d.j", "w")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("channels: [a]\nssl_verify: 1\nchannels: [b]\n", "line 3: `channels` twice"),
        ("- a\n", "line 1: not a mapping of keys"),
        ("a: 1\n---\nb: 2\n", "more than one document"),
        ("a:\n\t- b\n", "line 2: found character '\\t' that cannot start any token"),
        ("[" * 60_000, "line 1: nested too deeply"),
        ("a: b: c\n", "line 1: mapping values are not allowed here"),
    ],
)
def test_yaml_that_conda_refuses(text: str, problem: str) -> None:
    assert yaml(text).problems == (problem,)


def test_alias_bombs_stay_small() -> None:
    names = "abcdefghijklmnopqrst"
    rows = [f"{name}: &{name} [{', '.join(['*' + before] * 10)}]" for before, name in pairwise(names)]
    assert len(yaml("\n".join(["a: &a [x, y]", *rows])).entries) == MOST_ENTRIES
    assert yaml("\n".join(["a: &a []", *rows])).entries == ()


PLAIN = st.dictionaries(
    st.sampled_from(["channels", "default_channels", "ssl_verify", "channel_alias"]),
    st.one_of(
        st.lists(st.sampled_from(["a", "https://b/c", "d e", "x#y", "# z"]), min_size=1, max_size=4),
        st.sampled_from(["p", "q: r", "'"]),
    ),
)


@given(PLAIN, st.booleans())
def test_yaml_reads_back_what_was_written(document: dict[str, str | list[str]], flow: bool) -> None:
    text = pyyaml.safe_dump(document, default_flow_style=flow, sort_keys=False)
    wanted = [
        (key, item) for key, value in document.items() for item in (value if isinstance(value, list) else [value])
    ]
    assert pairs(yaml(text)) == wanted


@settings(max_examples=200)
@given(
    st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
)
def test_no_bytes_raise(data: bytes) -> None:
    text, _ = decode(data)
    for parse in (ini, toml, yaml):
        assert isinstance(parse(text), Parsed)


def test_decode() -> None:
    assert decode("a = ä".encode()) == ("a = ä", None)
    assert decode("[global]".encode("utf-16")) == ("[global]", "UTF-16, not UTF-8")
    assert decode(b"\x7fELF\0\0") == ("", "not a text file")
    assert decode(b"ab\xff")[1] == "byte 2 is not valid UTF-8"
