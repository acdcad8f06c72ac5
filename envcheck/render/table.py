"""Columns on a terminal, and lines with a hanging indent."""

from collections.abc import Sequence

from envcheck.render.layout import cells, pad, wrap

_GAP = "  "


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Rows as lines, columns as wide as their widest cell; too wide for `width`, the last cell goes below its row."""
    if not rows:
        return []
    everything = [list(head), *(list(row) for row in rows)]
    widths = [max(cells(row[column]) for row in everything) for column in range(len(head))]
    lines = []
    for row in everything:
        *front, last = row
        start = _GAP.join(pad(cell, size) for cell, size in zip(front, widths, strict=False))
        if not last or cells(start) + len(_GAP) + cells(last) <= width:
            lines.append((start + _GAP + last).rstrip())
        else:
            lines += [start.rstrip(), *hanging(last, width, "    ", "    ")]
    return lines


def hanging(text: str, width: int, first: str = "", rest: str = "  ") -> list[str]:
    """`text` wrapped to `width`, with `first` before its first line and `rest` before the others."""
    lines = wrap(text, max(20, width - max(cells(first), cells(rest))))
    return [(rest if number else first) + line for number, line in enumerate(lines)]
