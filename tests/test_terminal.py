"""What a stream can show, and writing to it."""

import errno
import io
import os
import pty

import pytest

from envcheck.model.errors import EnvcheckError
from envcheck.render.terminal import ASCII, SYMBOLS, can_show, terminal_of, write


class Screen(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def stream(encoding: str = "utf-8", tty: bool = False) -> io.TextIOWrapper:
    return (Screen if tty else io.TextIOWrapper)(io.BytesIO(), encoding=encoding)


def written(out: io.TextIOWrapper) -> bytes:
    buffer = out.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("tty", "variables", "coloured"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"CLICOLOR": "0"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "0"}, False),
        (False, {"CLICOLOR_FORCE": "1"}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour(tty: bool, variables: dict[str, str], coloured: bool) -> None:
    assert terminal_of(stream(tty=tty), variables.get).colour is coloured


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "cp1252", "ascii", "cp936", "big5"])
def test_marks_can_be_written_in_every_encoding(encoding: str) -> None:
    out = stream(encoding)
    marks = terminal_of(out, {}.get).marks
    "".join(marks).encode(encoding)
    assert marks is (SYMBOLS if encoding == "gb18030" else ASCII)


def test_a_dumb_terminal_gets_ascii() -> None:
    assert terminal_of(stream(tty=True), {"TERM": "dumb"}.get).marks is ASCII
    assert terminal_of(stream(tty=True), {"TERM": "xterm"}.get).marks is SYMBOLS


@pytest.mark.parametrize(("columns", "width"), [("100", 100), ("12", 40), ("nonsense", 80), ("", 80), ("99999", 1000)])
def test_columns(columns: str, width: int) -> None:
    assert terminal_of(stream(), {"COLUMNS": columns}.get).width == width


def test_the_width_of_a_real_terminal() -> None:
    leader, follower = pty.openpty()
    try:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 123, 0, 0))
        with os.fdopen(follower, "w", encoding="utf-8") as screen:
            assert terminal_of(screen, {}.get).width == 123
            assert terminal_of(screen, {}.get).colour
    finally:
        os.close(leader)


def test_what_an_encoding_lacks_is_written_as_its_escape() -> None:
    out = stream("cp1252")
    write(out, "é 显 ✓\n")
    assert written(out) == "é \\u663e \\u2713\n".encode("cp1252")


def test_an_unknown_encoding_shows_nothing_but_ascii() -> None:
    class Odd(io.StringIO):
        encoding = "no-such-encoding"

    assert not can_show(Odd(), "✓")


def test_a_reader_that_went_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as out:
        write(out, "gone\n")
        write(out, "still gone\n")


class Full(io.RawIOBase):
    """A file on a disk without room."""

    name = "report.txt"

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_clear_error() -> None:
    with pytest.raises(EnvcheckError, match="cannot write: No space left") as caught:
        write(io.TextIOWrapper(io.BufferedWriter(Full()), encoding="utf-8"), "no room\n")
    assert caught.value.where == "report.txt"


def test_escape_codes_do_not_reach_a_stream_without_colour() -> None:
    out = stream()
    terminal = terminal_of(out, {}.get)
    write(out, terminal.style("red", fg="red"), colour=terminal.colour)
    assert written(out) == b"red"
