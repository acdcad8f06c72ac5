"""What a stream can show: width, colour, symbols, languages. And the one place that writes to it."""

import os
from collections.abc import Callable
from typing import NamedTuple, TextIO

import click

DEFAULT_WIDTH = 80
NARROWEST = 40


class Marks(NamedTuple):
    """The signs in front of a line: fine, wrong, doubtful, unknown, not looked at; and what stands for more."""

    ok: str
    error: str
    warning: str
    unknown: str
    skipped: str
    info: str
    ellipsis: str


SYMBOLS = Marks("✓", "✗", "!", "?", "-", "i", "…")
ASCII = Marks("ok", "X", "!", "?", "-", "i", "...")


class Terminal(NamedTuple):
    """How to write for one stream."""

    width: int = DEFAULT_WIDTH
    colour: bool = False
    marks: Marks = ASCII
    tty: bool = False

    def style(self, text: str, **how: bool | str) -> str:
        """`text` in colour (click's `fg`, `bold`, `dim`), or as it is when the stream shows none."""
        return click.style(text, **how) if self.colour and text else text  # type: ignore[arg-type] # click's own names


def terminal_of(stream: TextIO, env: Callable[[str], str | None]) -> Terminal:
    """The terminal behind `stream`: NO_COLOR, FORCE_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM and COLUMNS count.

    Symbols are used when the stream's encoding itself can carry them, which an encoding's name does not tell.
    """
    tty = _is_tty(stream)
    dumb = env("TERM") == "dumb"
    marks = SYMBOLS if not dumb and can_show(stream, "".join(SYMBOLS)) else ASCII
    return Terminal(_width(stream, env), _colour(tty, dumb, env), marks, tty and not dumb)


def can_show(stream: TextIO, text: str) -> bool:
    """Whether the encoding of `stream` has every character of `text`."""
    try:
        text.encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def write(stream: TextIO, text: str, *, colour: bool = False) -> None:
    """Write and flush; characters that the encoding lacks become escapes, a reader that went away ends it quietly.

    Raises:
        EnvcheckError: the stream takes no more, for instance because the disk is full.
    """
    encoding = stream.encoding or "utf-8"
    if not can_show(stream, text):
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        click.echo(text, file=stream, nl=False, color=colour)
        stream.flush()
    except BrokenPipeError:
        _silence(stream)
    except OSError as error:
        from envcheck.model.errors import EnvcheckError
        from envcheck.model.text import say

        _silence(stream)
        raise EnvcheckError(say("cannot write: {reason}", reason=error.strerror or error), where=stream.name) from None


def _silence(stream: TextIO) -> None:
    """Point a stream without a reader at nothing, so that the flush at exit does not complain."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
    except (OSError, ValueError):
        pass


def _is_tty(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _colour(tty: bool, dumb: bool, env: Callable[[str], str | None]) -> bool:
    if env("NO_COLOR"):
        return False
    if (env("FORCE_COLOR") or "0") != "0" or (env("CLICOLOR_FORCE") or "0") != "0":
        return True
    return tty and not dumb and env("CLICOLOR") != "0"


def _width(stream: TextIO, env: Callable[[str], str | None]) -> int:
    columns = env("COLUMNS") or ""
    if columns.isdecimal() and (wanted := int(columns[:6])) > 0:
        return max(NARROWEST, min(wanted, 1000))
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        width = 0
    return max(NARROWEST, width or DEFAULT_WIDTH)
