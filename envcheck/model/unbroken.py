"""Sentences that a narrow window broke into lines, put together again. Pure.

A window shows itself in that no line is longer than it is wide, and that a line ends where the next word had no more
room.
"""

from collections.abc import Sequence
from itertools import pairwise

from envcheck.model.patterns import regex

_NARROW, _WIDE = 50, 170
"""Columns of a window that breaks lines where people post from."""
_LONGEST = 2000
"""Characters beyond which nothing is put together any more: no sentence is that long."""
_LONG_WORD = 30
"""Characters of a word, such as a path, that begins a line of its own."""
_CONSOLES = (80, 120)
"""Columns of a console that nobody resized."""
_NEAR, _FEW = 12, 3
_BROKEN = regex(r"[^\s|+>=-]\s{0,2}\Z")
_GOES_ON = regex(
    r"\s{0,8}(?!File |Traceback|Requirement|Collecting|Using |Successfully|Building|Installing|Found|ERROR|WARNING"
    r"|Error|Warning|INFO|[\w.]{1,60}(?:Error|Warning|Exception)\b|[A-Z][\w ]{1,30}:\s|\w[\w.-]{0,60}\s{2,}|[|+$#>*=-]"
    r"|\d+[:.)]\s|[\w-]{1,60}[=<>!]=\S{0,60}\Z|(?:import|from|raise|return|with|def|class|print)\b)\S"
)


def unbroken(lines: Sequence[str]) -> list[tuple[int, str]]:
    """Whole lines, each with the position of its first part. Tables, lists, code and labels stay as they are."""
    width = max((len(line) for line in lines if line.lstrip()[:1] not in ("|", "+")), default=0)
    cut = _cut(lines, width)
    found: list[tuple[int, str]] = []
    end = 0
    for position, line in enumerate(lines):
        word = line.lstrip().partition(" ")[0]
        full = end + 1 + len(word) > width or len(word) > _LONG_WORD
        whole = found and end >= width // 2 and full and _NARROW <= width <= _WIDE and len(found[-1][1]) < _LONGEST
        if whole and cut and end == width and line[:1] not in ("", "|", "+"):
            found[-1] = found[-1][0], found[-1][1] + line
        elif whole and _BROKEN.search(found[-1][1]) and _GOES_ON.match(line):
            first, text = found[-1]
            found[-1] = first, f"{text.rstrip()} {line.lstrip()}"
        else:
            found.append((position, line))
        end = len(line)
    return found


def _cut(lines: Sequence[str], width: int) -> bool:
    """Whether the window broke lines within words: then all of them are as long as it is wide."""
    lengths = [len(line) for line in lines]
    near = sum(width - _NEAR <= len(line) < width and bool(_GOES_ON.match(after)) for line, after in pairwise(lines))
    return lengths.count(width) > _FEW * near and (width in _CONSOLES or lengths.count(width) > 1)
