"""Text in terminal cells: how wide it is, and wrapping that knows Chinese.

rich measures and wraps as well, but importing its console takes as long as everything else that
`envcheck doctor --no-torch` does.
"""

from collections.abc import Iterator, Sequence

_NEVER_FIRST = frozenset(",.;:!?)]}%»”’…·、。，．；：！？）】》」』〉％")
_NEVER_LAST = frozenset("([{«“‘（【《「『〈")


def cells(text: str) -> int:
    """Terminal cells that `text` takes: 2 for a wide character, 0 for a combining one."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def pad(text: str, width: int) -> str:
    """`text` with spaces behind it up to `width` cells."""
    return text + " " * (width - cells(text))


def cut(text: str, width: int, ellipsis: str) -> str:
    """`text`, cut to `width` cells with `ellipsis` at its end when it is longer."""
    if cells(text) <= width:
        return text
    room, kept = width - cells(ellipsis), ""
    for char in text:
        room -= _cells_of(char)
        if room < 0:
            break
        kept += char
    return kept.rstrip() + ellipsis


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, broken at spaces and beside wide characters.

    A word that is wider than that (a path, an address) stands on a line of its own and is never cut.
    """
    lines: list[str] = []
    line = ""
    for piece in _pieces(text):
        if line and cells(line) + cells(piece.rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece if line else piece.lstrip()
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def fill(parts: Sequence[str], comma: str, width: int) -> list[str]:
    """`parts` joined by `comma` on lines of at most `width` cells, which end between two parts where they can."""
    lines = [""]
    for number, part in enumerate(parts):
        piece = part + comma if number < len(parts) - 1 else part
        if lines[-1] and cells(lines[-1]) + cells(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [piece for line in lines for piece in wrap(line, width)]


def _pieces(text: str) -> Iterator[str]:
    """The smallest parts between which a line may end: words with the spaces behind them, wide characters."""
    piece = ""
    for char in text:
        if piece and _may_break(piece[-1], char):
            yield piece
            piece = ""
        piece += char
    if piece:
        yield piece


def _may_break(before: str, after: str) -> bool:
    if " " in (before, after):
        return after != " "
    if after in _NEVER_FIRST or before in _NEVER_LAST:
        return False
    return 2 in (_cells_of(before), _cells_of(after))


def _cells_of(char: str) -> int:
    if char < "\u0300":
        return 1
    from unicodedata import category, east_asian_width

    if category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(char) in ("W", "F") else 1
