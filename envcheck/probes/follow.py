"""A program whose words are heard while it runs: an installer at work."""

import codecs
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from envcheck.probes.child import Ran, end, spawn, wait_exit
from envcheck.probes.outcome import error_name, since, verdict

KEPT = 1 << 20
"""Characters of the end that a result carries."""
PATIENCE = 10.0
"""Seconds in which an interrupted program may put things right before it is killed."""


def follow(argv: Sequence[str], env: Mapping[str, str], cwd: str, heard: Callable[[str], None]) -> Ran:
    """Run a program without a limit; `heard` gets every line that it prints, both streams in their order.

    An interrupt is passed on, so that the program can tidy up; then KeyboardInterrupt is raised again.
    """
    begun = time.monotonic()
    reader, writer = os.pipe()
    try:
        process = spawn(argv, writer, writer, env, cwd)
    except (OSError, ValueError) as error:
        os.close(reader)
        os.close(writer)
        name = error_name(error)
        return Ran("absent" if name == "ENOENT" else "failed", None, None, "", "", since(begun), name)
    ears: _Ears | None = None
    try:  # from here on: an interrupt may come while the thread starts
        os.close(writer)
        ears = _Ears(reader, heard)
        while not wait_exit(process, time.monotonic() + 0.5):
            pass
    except KeyboardInterrupt:
        _interrupt(process.pid)
        wait_exit(process, time.monotonic() + PATIENCE)
        raise
    finally:
        code = end(process)
        if ears is not None:
            ears.join(1.0)
    state, name_of_signal, detail = verdict(True, code)
    return Ran(state, code, name_of_signal, ears.text(), "", since(begun), detail)


def _interrupt(pid: int) -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            os.kill(pid, signal.CTRL_BREAK_EVENT)
        else:
            os.killpg(pid, signal.SIGINT)


class _Ears(threading.Thread):
    """Reads the pipe to its end, line by line; a grandchild that keeps it open is not waited for."""

    def __init__(self, descriptor: int, heard: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self._descriptor, self._heard = descriptor, heard
        self._lines: list[str] = []
        self._size = 0
        self.start()

    def run(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        with open(self._descriptor, "rb", buffering=0) as stream:
            while chunk := stream.read(65536):
                *lines, rest = (rest + decoder.decode(chunk)).replace("\r\n", "\n").split("\n")
                for line in lines:
                    self._hear(line)
        if rest:
            self._hear(rest)

    def _hear(self, line: str) -> None:
        """Of a line that was drawn over itself (a progress bar) the last state counts."""
        line = line.rstrip("\r").rpartition("\r")[2][:4096]
        self._lines.append(line)
        self._size += len(line) + 1
        while self._size > KEPT:
            self._size -= len(self._lines.pop(0)) + 1
        self._heard(line)

    def text(self) -> str:
        """What was kept."""
        return "\n".join(self._lines)
