"""How often the cause of a posted case is named: accuracy over a corpus of real threads, with its misses."""

import json
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks.result import Ratio, Result, Row, result

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "raw" / "cases.jsonl"
STATEMENTS = frozenset({"facts", "claim", "code", "outside", "container"})
"""Evidence keys that are somebody's words about the machine, not program output: left out of the score."""
TRUSTED = frozenset({"maintainer", "poster"})


def run(runs: int, *arguments: str) -> Result:
    """`arguments`: corpus files (default: the tests' own selection); `all` counts inferred causes, too.

    `half=A` (or another letter) counts that part of a corpus; `figures` leaves out which cases were missed.
    """
    del runs
    words = [argument for argument in arguments if _is_word(argument)]
    files = [Path(argument) for argument in arguments if not _is_word(argument)] or [CORPUS]
    halves = {word.removeprefix("half=") for word in words if word.startswith("half=")}
    cases = [
        json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    cases = [case for case in cases if not halves or case.get("half") in halves]
    counted = [case for case in cases if "all" in words or case.get("confidence") in TRUSTED]
    kinds: Counter[str] = Counter()
    by_cause: dict[str, Counter[str]] = defaultdict(Counter)
    misses: list[str] = []
    for case in counted:
        primary, second, severity = answer(text_of(case))
        kind = grade(case["cause"], primary, second)
        if kind == "wrong" and severity.endswith("possible"):
            kind = "unsure"
        kinds[kind] += 1
        by_cause[case["cause"]][kind] += 1
        if kind != "right":
            misses.append(
                f"{case['id']} {case['cause']}: {kind}, said {primary or '-'} ({severity}), then {second or '-'}"
            )
    if "figures" in words:
        misses, by_cause = [], {}
    return _result(len(counted), kinds, by_cause, misses)


def _is_word(argument: str) -> bool:
    return argument in ("all", "figures") or argument.startswith("half=")


def text_of(case: dict[str, object]) -> str:
    """What a person would have pasted: the outputs, one below the other."""
    evidence = case["evidence"]
    if isinstance(evidence, str):
        return evidence
    assert isinstance(evidence, dict)
    return "\n\n".join(str(text) for key, text in evidence.items() if key not in STATEMENTS)


def answer(text: str) -> tuple[str | None, str | None, str]:
    """The cause slugs of the primary and the next finding, and the primary's severity and confidence."""
    from envcheck.commands.looking import examine
    from envcheck.commands.world import World
    from envcheck.diagnosis.evidence import read

    report = examine(World(), read(text)).report
    primary = report.primary_finding
    second = report.finding(report.runner_up) if report.runner_up else None
    if primary is None:
        return ("healthy" if report.verdict == "healthy" else None), None, report.verdict
    return primary.cause, second.cause if second else None, f"{primary.code} {primary.severity} {primary.confidence}"


def grade(truth: str, primary: str | None, second: str | None) -> str:
    """`right`, `second`, `undecided` (no cause named) or `wrong`; `run` counts one that says "possible" apart."""
    if primary == truth or (truth.startswith("healthy") and primary in (None, "healthy")):
        return "right"
    if second == truth:
        return "second"
    return "undecided" if primary in (None, "healthy") else "wrong"


def _result(count: int, kinds: Counter[str], by_cause: dict[str, Counter[str]], misses: list[str]) -> Result:
    columns = ("right", "second", "undecided", "unsure", "wrong")
    rows = [Row(name="all", figures={"cases": count, **{kind: kinds[kind] for kind in columns}})]
    for cause, found in sorted(by_cause.items()):
        rows.append(Row(name=cause, figures={"cases": sum(found.values()), **{kind: found[kind] for kind in columns}}))
    shares = {
        "not right": 1 - kinds["right"] / max(count, 1),
        "wrong and sure of it": kinds["wrong"] / max(count, 1),
        "wrong at all": (kinds["wrong"] + kinds["second"] + kinds["unsure"]) / max(count, 1),
    }
    bars = {"not right": 0.10, "wrong and sure of it": 0.03, "wrong at all": None}
    ratios = [
        Ratio(name=f"share of cases {name}", median=share, least=share, greatest=share, bar=bars[name])
        for name, share in shares.items()
    ]
    return result("diagnosis", rows, ratios=ratios, notes=misses)
