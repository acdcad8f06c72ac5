"""A small curve in text cells: as many columns as there is room, a few rows, logarithmic."""

from collections.abc import Sequence
from math import log10

from envcheck.render.terminal import SYMBOLS, Terminal

ROWS = 6
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_ASCII = " .:-=+*#@"


def curve(values: Sequence[float], terminal: Terminal, width: int, rows: int = ROWS) -> list[str]:
    """Bars for `values` (0 or more), the largest on the left axis, the smallest below; no colour.

    Blocks where the terminal shows symbols, ASCII signs elsewhere.
    """
    shown = _sampled([value for value in values if value >= 0], width)
    if not shown:
        return []
    floor = min((value for value in shown if value > 0), default=1.0)
    logs = [log10(max(value, floor)) for value in shown]
    low, high = min(logs), max(logs)
    scale = (rows * 8 - 1) / (high - low) if high > low else 0.0
    heights = [1 + round((value - low) * scale) for value in logs]
    signs = _EIGHTHS if terminal.marks == SYMBOLS else _ASCII
    return [
        "".join(signs[max(0, min(8, height - 8 * row))] for height in heights).rstrip() for row in reversed(range(rows))
    ]


def _sampled(values: Sequence[float], width: int) -> list[float]:
    """At most `width` of them, the first and the last among them."""
    count = min(len(values), max(width, 2))
    if count < 2:
        return list(values)
    return [values[round(place * (len(values) - 1) / (count - 1))] for place in range(count)]
