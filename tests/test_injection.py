"""Nothing in a snapshot of somebody else becomes a command of its own in the lines that are printed to be pasted."""

import json
from random import Random
from typing import Any

import msgspec
import pytest
from helpers.cases import MACHINES, change, examine, found, recorded

from envcheck.model.facts import Facts
from envcheck.model.shell import Shell

HOSTILE = "z;MARKA$(MARKB)`MARKC`'MARKD\"MARKE&MARKF|MARKG>MARKH\nMARKI"
ACTIVE = {"sh": ";|&<>()$`\n", "powershell": ";|&<>(){}$@\n"}
ESCAPE = {"sh": "\\", "powershell": "`"}
IN_DOUBLE_QUOTES = {"sh": "$`", "powershell": "$"}


def obeyed(line: str, shell: Shell) -> list[str]:
    """The marks in `line` before which the shell would see a character of its own."""
    awake, quote, place = [False] * len(line), "", 0
    while place < len(line):
        char = line[place]
        if char == ESCAPE[shell] and quote != "'":
            place += 2
            continue
        if char in "'\"" and quote in ("", char):
            quote = "" if quote else char
        elif quote != "'":
            begun = char == "(" and place > 0 and awake[place - 1]
            awake[place] = begun or char in (IN_DOUBLE_QUOTES[shell] if quote else ACTIVE[shell])
        place += 1
    marks = (f"MARK{letter}" for letter in "ABCDEFGHI")
    return [mark for mark in marks if mark in line and awake[line.index(mark) - 1]]


def shells_of(facts: Facts) -> list[tuple[str, Shell]]:
    shell: Shell = "powershell" if facts.host.os == "windows" else "sh"
    report = examine(facts)
    fixes = (fix for steps in (*(one.fixes for one in report.findings), report.next_steps) for fix in steps)
    return [(fix.shell, shell) for fix in fixes if "MARK" in fix.shell]


def test_the_watchman_is_awake() -> None:
    assert obeyed("unset z;MARKA", "sh") == ["MARKA"]
    assert obeyed("""echo "a $(MARKB)" 'b $(MARKA)'""", "sh") == ["MARKB"]
    assert obeyed("""echo 'it''s; MARKA' "x`$(MARKB)" ;MARKC""", "powershell") == ["MARKC"]
    assert obeyed("'z;MARKA$(MARKB)`MARKC`'", "powershell") == []


def texts(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], str]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in texts(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for number, item in enumerate(value) for leaf in texts(item, (*path, number))]
    return [(path, value)] if isinstance(value, str) else []


def poisoned(name: str, chance: Random, system: str | None) -> list[Facts]:
    """The machine with hostile text in front of, behind or in place of a few of its texts, one at a time."""
    document = json.loads((MACHINES / f"{name}.json").read_text("utf-8"))["facts"]
    leaves = [leaf for leaf in texts(document) if leaf[0][0] != "observations"]
    made = []
    for path, value in chance.sample(leaves, min(len(leaves), 6)):
        copy = json.loads(json.dumps(document))
        at = copy
        for room in path[:-1]:
            at = at[room]
        at[path[-1]] = chance.choice((value + HOSTILE, HOSTILE + value, HOSTILE))
        if system:
            copy.setdefault("host", {})["os"] = system
        try:
            made.append(msgspec.convert(copy, Facts))
        except msgspec.ValidationError:  # a literal, which takes no other text
            continue
    return made


@pytest.mark.parametrize("system", [None, "windows"])
@pytest.mark.parametrize("name", [path.stem for path in sorted(MACHINES.glob("*.json"))])
def test_hostile_text_stays_text(name: str, system: str | None) -> None:
    for facts in poisoned(name, Random(name), system):
        for line, shell in shells_of(facts):
            assert not obeyed(line, shell), line


@pytest.mark.parametrize("system", ["linux", "windows"])
@pytest.mark.parametrize(
    ("name", "change_at"),
    [
        ("device-files-of-a-group", "nvidia__nodes__0__group"),
        ("fabric-manager-inactive", "nvidia__driver_versions__0__value"),
        ("sw_proxy_dead", "proxies__0__origin"),
        ("sw_proxy_https", "proxies__0__origin"),
        ("sw_proxy_https", "proxies__0__url"),
        ("sw_cpu_wheel", "python__path"),
        ("visible-devices-minus-one", "variables__0__value"),
    ],
)
def test_places_where_it_did_not(name: str, change_at: str, system: str) -> None:
    facts = change(recorded(name), host__os=system)
    for text in (HOSTILE, HOSTILE + "_proxy", "https://127.0.0.1:1/" + HOSTILE):
        for line, shell in shells_of(change(facts, **{change_at: text})):
            assert not obeyed(line, shell), line


def test_a_variable_with_an_impossible_name_is_told_in_words() -> None:
    facts = recorded("sw_proxy_dead", proxies__0__origin="x; rm -rf ~; _proxy")
    assert [fix.shell for fix in found(facts)["EC606"].fixes] == ["", ""]
