"""Recorded machines: facts as they were (or as they must look), and the report that they must give.

A file is `{"about", "source", "expect": {"codes", "primary", "cause", "verdict"}, "facts"}`. Every code is shown by
one machine at least and is absent from another; machines whose name begins with `healthy` show nothing above info.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from envcheck.diagnosis.checks import CHECKS
from envcheck.model.codec import decode, encode
from envcheck.model.facts import Facts
from envcheck.model.report import Report
from tests.helpers.cases import MACHINES, examine

FILES = sorted(MACHINES.glob("*.json"))
CODES = [check.code for check in CHECKS]


class Machine(NamedTuple):
    expect: dict[str, Any]
    facts: Facts
    report: Report


@cache
def machine(path: Path) -> Machine:
    document = json.loads(path.read_text("utf-8"))
    assert set(document) == {"about", "source", "expect", "facts"}
    facts = decode(json.dumps(document["facts"]), where=path.name)
    return Machine(document["expect"], facts, examine(facts))


@cache
def shown() -> dict[str, set[str]]:
    """Code -> names of the machines that show it."""
    found: dict[str, set[str]] = {}
    for path in FILES:
        for finding in machine(path).report.findings:
            found.setdefault(finding.code, set()).add(path.stem)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_report_is_the_recorded_one(path: Path) -> None:
    expect, _, report = machine(path)
    primary = report.primary_finding
    got = {
        "codes": sorted({finding.code for finding in report.findings}),
        "primary": report.primary,
        "cause": primary.cause if primary else None,
        "verdict": report.verdict,
    }
    assert got == expect


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_snapshot_gives_the_same_report(path: Path) -> None:
    _, facts, report = machine(path)
    again = decode(encode(facts).decode(), where=path.name)
    assert again == facts
    assert examine(again) == report


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.stem.startswith("healthy")], ids=lambda path: path.stem
)
def test_a_healthy_machine_shows_nothing_above_info(path: Path) -> None:
    report = machine(path).report
    assert [finding.code for finding in report.findings if finding.severity != "info"] == []
    assert (report.verdict, report.primary) == ("healthy", None)
    assert report.can_train


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_findings_rest_on_evidence_and_say_what_to_do(path: Path) -> None:
    for finding in machine(path).report.findings:
        assert finding.evidence or finding.severity == "info", finding.code
        assert finding.fixes or finding.severity != "error", finding.code
        for fix in finding.fixes:
            assert "\n" not in fix.shell, finding.code
            assert not fix.argv or fix.shell, finding.code


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_machine_that_shows_it_and_one_that_does_not(code: str) -> None:
    names = shown().get(code, set())
    assert names, f"no machine in machines/ shows {code}"
    assert len(names) < len(FILES)


def test_there_are_many_machines_and_many_of_them_healthy() -> None:
    assert len(FILES) >= 60
    assert sum(path.stem.startswith("healthy") for path in FILES) >= 12
