"""Golden screens: recorded machines as the program shows them, in both languages, several widths and encodings."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from helpers.cli import invoke

FOLDER = Path(__file__).resolve().parent.parent / "golden"
MACHINES = sorted(path.stem for path in FOLDER.glob("*.json"))


class Screen(NamedTuple):
    """One screen: a machine, a language, a width, and what else is different about the terminal."""

    machine: str
    language: str
    width: int
    kind: str = "plain"

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.machine}.{self.language}.{self.width}.{self.kind}.txt"

    @property
    def path(self) -> Path:
        """The file."""
        return FOLDER / self.name

    def shown(self) -> str:
        """What the program shows now."""
        encoding, tty, variables, options = _KINDS[self.kind]
        environ = {"COLUMNS": str(self.width), "ENVCHECK_LANG": self.language, **variables}
        source = FOLDER / f"{self.machine}.json"
        ended = invoke("doctor", "--from", source, *options, environ=environ, encoding=encoding, tty=tty)
        assert ended.err == ""
        return f"{ended.out}exit {ended.code:d}\n"


_KINDS: dict[str, tuple[str, bool, dict[str, str], tuple[str, ...]]] = {
    "plain": ("utf-8", False, {}, ()),
    "terminal": ("utf-8", True, {"TERM": "xterm-256color"}, ()),
    "nocolor": ("utf-8", True, {"TERM": "xterm-256color", "NO_COLOR": "1"}, ()),
    "dumb": ("utf-8", True, {"TERM": "dumb"}, ()),
    "gbk": ("gbk", False, {}, ()),
    "cp1252": ("cp1252", False, {}, ()),
    "verbose": ("utf-8", False, {}, ("-v",)),
    "markdown": ("utf-8", False, {}, ("--format", "markdown")),
}


def screens() -> Iterator[Screen]:
    """Every machine plain at three widths in both languages; two machines in every kind of terminal."""
    for language in ("en", "zh"):
        for machine in MACHINES:
            yield from (Screen(machine, language, width) for width in (60, 80, 200))
        for machine in ("cpu-build", "hostile"):
            yield from (Screen(machine, language, 80, kind) for kind in _KINDS if kind != "plain")
