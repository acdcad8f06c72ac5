"""Processes: how they are started, waited for and ended."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Union

from envcheck.model.base import Plain
from envcheck.model.facts import State
from envcheck.probes.launch import SIGKILL, Spawned, spawn_posix
from envcheck.probes.outcome import decode, error_name, since, verdict

if TYPE_CHECKING:  # takes 3 ms, and most starts of a child do without
    import subprocess

Process = Union["subprocess.Popen[bytes]", Spawned]

CONSOLE = "oem" if sys.platform == "win32" else None
"""The code page in which Windows' programs print what is not UTF-8."""
ABANDON_AFTER = 0.3
"""Seconds a killed process is waited for. In uninterruptible sleep it outlives SIGKILL: then it is left alone."""
_TASKKILL_LIMIT = 2.0


class Ran(Plain, frozen=True):
    """How a program ended. `returncode` is None when it never ran or had to be killed."""

    state: State
    returncode: int | None
    signal: str | None
    stdout: str
    stderr: str
    ms: float
    detail: str | None


def run(argv: Sequence[str], limit: float, cap: int, env: Mapping[str, str], cwd: str) -> Ran:
    """Run a program; see `System.run`."""
    import subprocess

    begun = time.monotonic()
    try:
        process = spawn(argv, subprocess.PIPE, subprocess.PIPE, env, cwd)
    except (OSError, ValueError) as error:
        name = error_name(error)
        return Ran("absent" if name == "ENOENT" else "failed", None, None, "", "", since(begun), name)
    assert process.stdout is not None
    assert process.stderr is not None
    full = threading.Event()
    readers = [_Reader(stream, cap, full, process) for stream in (process.stdout, process.stderr)]
    ended = wait_exit(process, begun + limit)
    returncode = end(process)
    for reader in readers:
        reader.join(ABANDON_AFTER)
    state, signal_name, detail = verdict(ended, returncode)
    if full.is_set():
        state, signal_name, detail = "failed", None, f"printed more than {cap} bytes"
    out, err = (decode(bytes(reader.data), CONSOLE) for reader in readers)
    kept = returncode if ended and not full.is_set() else None
    return Ran(state, kept, signal_name, out, err, since(begun), detail)


class _Reader(threading.Thread):
    """Keeps the first `cap` bytes of a pipe; more than that ends the process."""

    def __init__(self, stream: IO[bytes], cap: int, full: threading.Event, process: Process) -> None:
        super().__init__(daemon=True)
        self.data = bytearray()
        self._stream, self._cap, self._full, self._process = stream, cap, full, process
        self.start()

    def run(self) -> None:
        with self._stream as stream:
            while chunk := os.read(stream.fileno(), 65536):
                self.data += chunk[: self._cap - len(self.data)]
                if len(chunk) and len(self.data) >= self._cap:
                    self._full.set()
                    kill(self._process)
                    return


def spawn(
    argv: Sequence[str],
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    env: Mapping[str, str],
    cwd: str | None,
) -> "subprocess.Popen[bytes]":
    """Start a program in a session of its own, without input and without a shell; raises OSError."""
    import subprocess

    if sys.platform == "win32":
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=dict(env),
            cwd=cwd,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
        )
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
    )


def spawn_quietly(argv: Sequence[str], output: IO[bytes], env: Mapping[str, str], cwd: str | None) -> Process:
    """As `spawn`, both streams into one file."""
    if sys.platform != "win32" and "/" in argv[0] and (cwd is None or cwd == _here()):
        with contextlib.suppress(NotImplementedError):  # setsid is an extension
            return spawn_posix(argv, output.fileno(), env)
    return spawn(argv, output, output, env, cwd)


def _here() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def wait_exit(process: Process, until: float) -> bool:
    """Whether the process ended before the instant `until` (of `time.monotonic`). Does not reap it on Linux."""
    left = max(0.0, until - time.monotonic())
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:
            pass  # an old kernel or a sandbox without it: poll instead
        else:
            import select

            try:
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                return bool(poll.poll(left * 1000))
            finally:
                os.close(descriptor)
    return _waited(process, left) is not None


def kill(process: Process) -> None:
    """SIGKILL for the whole process group (on Windows the process tree)."""
    if sys.platform == "win32":
        _kill_tree(process)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, SIGKILL)


def _kill_tree(process: Process) -> None:
    """Windows: a process that has ended has no tree any more, and asking for it takes a tenth of a second."""
    import subprocess

    if _waited(process, 0) is not None:
        return
    taskkill = os.path.join(os.environ.get("WINDIR", "C:\\Windows"), "System32", "taskkill.exe")
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = [taskkill, "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(command, check=False, capture_output=True, timeout=_TASKKILL_LIMIT)
    with contextlib.suppress(OSError):
        os.kill(process.pid, SIGKILL)


def end(process: Process) -> int | None:
    """Kill what is left of the group, also after a good run; the return code, None when it will not die."""
    kill(process)
    code = _waited(process, ABANDON_AFTER)
    if code is None:
        process.returncode = -SIGKILL  # abandoned: Popen must not complain about it, nor wait for it
    return code


def _waited(process: Process, limit: float) -> int | None:
    if isinstance(process, Spawned):
        return process.wait(limit)
    import subprocess

    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
