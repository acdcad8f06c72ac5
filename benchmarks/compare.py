"""`python -m benchmarks compare OLD.json NEW.json`: which ratios lost more than a tenth."""

import sys
from pathlib import Path

from benchmarks.result import Result, load

LOSS = 1.10


def losses(old: Result, new: Result) -> list[str]:
    """One line a ratio of `new` that is more than 10 % above `old`'s."""
    before = {ratio.name: ratio.median for ratio in old.ratios}
    return [
        f"{ratio.name}: {before[ratio.name]:.3f} -> {ratio.median:.3f} ({ratio.median / before[ratio.name] - 1:+.0%})"
        for ratio in new.ratios
        if ratio.name in before and ratio.median > before[ratio.name] * LOSS
    ]


def main(old_path: str, new_path: str) -> int:
    """Print every ratio's change; exit 1 when one lost more than 10 %."""
    old, new = load(Path(old_path)), load(Path(new_path))
    before = {ratio.name: ratio.median for ratio in old.ratios}
    for ratio in new.ratios:
        known = before.get(ratio.name)
        change = "new" if known is None else f"{known:.3f} -> {ratio.median:.3f} ({ratio.median / known - 1:+.1%})"
        sys.stdout.write(f"{ratio.name}: {change}\n")
    lost = losses(old, new)
    for line in lost:
        sys.stdout.write(f"LOST MORE THAN 10 %: {line}\n")
    return 1 if lost else 0
