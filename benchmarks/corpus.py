"""Text as people paste it, of the tests' own selection of posted cases."""

import json
from itertools import cycle
from pathlib import Path

CASES = Path(__file__).resolve().parent.parent / "tests" / "raw" / "cases.jsonl"


def pasted(lines: int) -> str:
    """So many lines of program output: posted reports, one below the other."""
    cases = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines() if line.strip()]
    found: list[str] = []
    for case in cycle(cases):
        evidence = case["evidence"]
        texts = [evidence] if isinstance(evidence, str) else evidence.values()
        found += [line for text in texts for line in str(text).splitlines()]
        if len(found) >= lines:
            return "\n".join(found[:lines]) + "\n"
    raise ValueError(f"no cases in {CASES}")
