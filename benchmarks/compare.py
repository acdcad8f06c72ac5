"""`python -m benchmarks compare OLD.json NEW.json`: which ratios lost more than a tenth."""

import sys
from pathlib import Path

from benchmarks.result import Ratio, Result, load

LOSS = 0.10
"""Every ratio is the better the smaller: a growth by more than this is a loss."""


def losses(old: Result, new: Result) -> list[str]:
    """One line a ratio of `new` that is more than 10 % above `old`'s; one that was 0 and is not any more, too."""
    before = {ratio.name: ratio.median for ratio in old.ratios}
    return [_line(one, before[one.name]) for one in new.ratios if one.name in before and _lost(one, before[one.name])]


def main(old_path: str, new_path: str) -> int:
    """Print every ratio's change; exit 1 when one lost more than 10 %, or is not measured any more."""
    old, new = load(Path(old_path)), load(Path(new_path))
    before = {ratio.name: ratio.median for ratio in old.ratios}
    for one in new.ratios:
        sys.stdout.write((_line(one, before[one.name]) if one.name in before else f"{one.name}: new") + "\n")
    gone = [f"{name}: not measured" for name in before if name not in {one.name for one in new.ratios}]
    lost = [*losses(old, new), *gone]
    for line in lost:
        sys.stdout.write(f"LOST: {line}\n")
    return 1 if lost else 0


def _lost(new: Ratio, known: float) -> bool:
    return new.median > known * (1 + LOSS)


def _line(new: Ratio, known: float) -> str:
    change = f" ({new.median / known - 1:+.1%})" if known else ""
    return f"{new.name}: {known:.3f} -> {new.median:.3f}{change}"
