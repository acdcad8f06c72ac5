"""Files that a command reads or writes: bounded, whole or not at all, every failure one clear line."""

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from envcheck.commands.world import World
from envcheck.model.errors import EnvcheckError
from envcheck.model.text import say

LARGEST = 128 * 2**20
"""Bytes; nothing that a person pastes or a snapshot holds comes near."""
_GIVE = say("give the name of a file, or - and write to standard input")
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


def read_text(world: World, source: str) -> str:
    """The text of a file, or of standard input for `-`: UTF-8, or UTF-16 with its mark.

    Raises:
        EnvcheckError: it is not there, not readable, not text, or too large.
    """
    return _decoded(_read(world, source), source)


def _decoded(data: bytes, source: str) -> str:
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        what = say("not text in UTF-8: byte {offset} cannot be read", offset=error.start)
        raise EnvcheckError(what, where=source, mend=say("save it as UTF-8 and try again")) from None


def read_pasted(world: World, source: str) -> str:
    """What somebody pasted into a file or standard input, in whatever encoding: what cannot be read leaves gaps.

    Raises:
        EnvcheckError: it is not there, not readable, not text, or too large.
    """
    from envcheck.diagnosis.evidence.page import decode

    data = _read(world, source)
    text = decode(data)
    head = text[: 1 << 16]
    odd = sum(char == "\ufffd" or (char < " " and char not in "\t\n\r\f\b\x1b") for char in head)
    return text if odd * 10 <= len(head) else _decoded(data, source)


def write_whole(target: str, data: bytes) -> None:
    """Put `data` into a file in one step: afterwards it holds the old bytes or all of the new ones.

    A link is followed; what is no regular file (a pipe, a device) is written to as it is.

    Raises:
        EnvcheckError: the file cannot be written.
    """
    place = Path(os.path.realpath(target))
    draft = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        if place.exists() and not place.is_file():
            place.write_bytes(data)
            return
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(place)
    except OSError as error:
        raise _cannot_write(target, error) from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def check_writable(target: str) -> None:
    """Refuse early what `write_whole` could not write.

    Raises:
        EnvcheckError: it is a directory, or its directory is not there or not writable.
    """
    place = Path(os.path.realpath(target))
    try:
        if place.is_dir():
            raise IsADirectoryError(21, os.strerror(21))
        if not place.parent.is_dir():
            raise FileNotFoundError(2, os.strerror(2))
        if not os.access(place if place.exists() and not place.is_file() else place.parent, os.W_OK):
            raise PermissionError(13, os.strerror(13))
    except OSError as error:
        raise _cannot_write(target, error) from None


def _read(world: World, source: str) -> bytes:
    try:
        if source == "-":
            data = _capped(getattr(world.stdin, "buffer", None), world)
        elif Path(source).is_fifo():
            data = _piped(source)
        else:
            with Path(source).open("rb") as file:
                data = _capped(file, world)
    except OSError as error:
        what = say("cannot read: {reason}", reason=error.strerror or error)
        raise EnvcheckError(what, where=source, mend=_GIVE) from None
    except ValueError:  # a NUL in the name
        raise EnvcheckError(say("not a file name"), where=source, mend=_GIVE) from None
    if len(data) > LARGEST:
        what = say("larger than {size} MiB: not read", size=LARGEST // 2**20)
        raise EnvcheckError(what, where=source, mend=say("keep the part that matters"))
    return data


def _capped(file: BinaryIO | None, world: World) -> bytes:
    if file is None:  # a text stream without bytes behind it, as tests hand in
        return world.stdin.read(LARGEST + 1).encode("utf-8", "surrogatepass")
    return file.read(LARGEST + 1)


def _piped(source: str) -> bytes:
    """What comes through a named pipe: without a writer it would never end, so that is an error."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as pipe:
        try:
            first = os.read(descriptor, 1)
        except BlockingIOError:
            first = None
        if first == b"":
            raise EnvcheckError(say("a pipe that nobody writes to"), where=source, mend=_GIVE)
        os.set_blocking(descriptor, True)
        return (first or b"") + pipe.read(LARGEST + 1)


def _cannot_write(target: str, error: OSError) -> EnvcheckError:
    return EnvcheckError(say("cannot write: {reason}", reason=error.strerror or error), where=target)
