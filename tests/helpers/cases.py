"""Cases for checks: a recorded machine or bare facts, changed at a few places, and what is found there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from envcheck.catalogue import Catalogue
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.checks import CHECKS
from envcheck.diagnosis.diagnose import diagnose
from envcheck.model.codec import decode
from envcheck.model.facts import Facts, Message
from envcheck.model.report import Finding, Report
from envcheck.recommend.commandline import fixes
from envcheck.recommend.resolve import resolve

MACHINES = Path(__file__).parent.parent / "machines"
CATALOGUE = Catalogue.shipped()


def recorded(name: str, **changes: Any) -> Facts:
    """The facts of tests/machines/NAME.json, changed."""
    document = json.loads((MACHINES / f"{name}.json").read_text("utf-8"))
    return change(decode(json.dumps(document["facts"])), **changes)


def change(facts: Facts, **changes: Any) -> Facts:
    """`facts` with values replaced: `nvidia__gpus=...` sets `nvidia.gpus`; lists and dicts as in a snapshot."""
    document = json.loads(msgspec.json.encode(facts))
    for path, value in changes.items():
        *rooms, last = path.split("__")
        at = document
        for room in rooms:
            at = at[int(room)] if isinstance(at, list) else at[room]
        at[int(last) if isinstance(at, list) else last] = msgspec.to_builtins(value)
    return msgspec.convert(document, Facts)


def said(*texts: str, kind: str = "error", source: str = "text", **changes: Any) -> Facts:
    """Facts that consist of what programs said."""
    messages = tuple(msgspec.convert({"kind": kind, "text": text, "look": "text"}, Message) for text in texts)
    return change(Facts(messages=messages), source=source, **changes)


def examine(facts: Facts) -> Report:
    """The report over facts: with the shipped catalogue, its recommendation and commands, as `doctor` has them."""
    return diagnose(case_of(facts), CHECKS)


def case_of(facts: Facts) -> Case:
    """The case that checks are given."""
    return Case(facts, CATALOGUE, lambda seen: resolve(seen, CATALOGUE), lambda plan: fixes(plan, facts, CATALOGUE))


def found(facts: Facts) -> Mapping[str, Finding]:
    """Code -> finding."""
    return {finding.code: finding for finding in examine(facts).findings}


def severities(facts: Facts, *codes: str) -> dict[str, str]:
    """Code -> severity of the findings, those of `codes` only when some are named."""
    return {code: one.severity for code, one in found(facts).items() if not codes or code in codes}


def primary(facts: Facts) -> tuple[str | None, str | None]:
    """Code and cause of the primary finding."""
    report = examine(facts)
    finding = report.primary_finding
    return report.primary, finding.cause if finding else None
