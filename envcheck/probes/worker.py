"""Workers: scripts in another interpreter that report through files.

A worker runs in a private directory: `script.py`, `ask.json` (what it is asked), `events.jsonl` (one JSON object
a line: hello, begin, end, bye), `output.txt` (everything that it or a library printed), `trace.txt` (Python's stack
at a crash or shortly before the deadline). No pipes: a grandchild that outlives could hold one open. The step that
was begun and not ended is to blame for a death; every earlier value is kept.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from envcheck.model.base import Plain
from envcheck.model.facts import State
from envcheck.probes.child import CONSOLE, Process, end, kill, spawn_quietly, wait_exit
from envcheck.probes.events import Log
from envcheck.probes.headstart import HeadStart
from envcheck.probes.launch import MARK, SIGKILL, fill, private_folder, remove
from envcheck.probes.outcome import decode, error_name, since, verdict

OUTPUT_CAP = 1 << 20
"""Bytes that output.txt may hold; what a noisy worker prints beyond is thrown away while it runs."""
FILE_CAP = 1 << 30
"""Bytes beyond which the kernel stops the worker's writing, should nobody be left to throw them away."""
EVENTS_CAP = 64 << 20
"""Bytes of events that are read: a thorough look at the gradients of eight GPUs writes some twenty million."""
_TICK = 0.004
"""Seconds between two looks for its bye."""
KEPT = 32768
"""Bytes of output that a result carries: this many of the beginning and of the end."""


class WorkerResult(Plain, frozen=True):
    """How a worker ended, and everything that it said before.

    `state`: `ok` when it said bye; `timeout`, `crashed` (a signal, or an exit in mid-step), `failed` (it never
    said hello), `absent` (the program is not there). `values` and `errors` by step; an error is
    `{"type", "text", "traceback"}`. `stage`: the step to blame. `returncode`: None after a bye, which is not waited
    out.
    """

    state: State
    values: dict[str, Any]
    errors: dict[str, dict[str, str]]
    stage: str | None = None
    signal: str | None = None
    returncode: int | None = None
    ms: float = 0.0
    output: str = ""
    traceback: str | None = None
    detail: str | None = None


class Worker:
    """A script at work in another interpreter. Several run side by side; `finish` or `close` ends each.

    `argv_prefix` is the interpreter and its options, `script` the text of the program, `ask` what it finds in
    ask.json, `env` and `cwd` as for a process, `beside` further files of the directory by name (modules that the
    script imports, `worker_files` gives ours). `head` is such a child that is under way already. Starting never
    raises: `finish` tells what went wrong.
    """

    def __init__(
        self,
        argv_prefix: Sequence[str],
        script: str,
        ask: Mapping[str, Any],
        env: Mapping[str, str],
        cwd: str | None = None,
        beside: Mapping[str, str | bytes] | None = None,
        head: HeadStart | None = None,
    ) -> None:
        self.begun = time.monotonic()
        self._process: Process | None = None
        self._failure: tuple[State, str] | None = None
        self._folder: str | None = None
        self._beginning = b""
        self._leaving: threading.Thread | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        try:
            if head is not None:
                self.begun, self._folder, self._process = head.begun, head.folder, head.process
            else:
                self._folder = folder = private_folder(env)
                fill(folder, script, beside or {}, msgspec.json.encode(ask))
                self._process = _spawned(argv_prefix, folder, env, cwd)
        except (OSError, ValueError) as error:
            name = error_name(error)
            self._failure = ("absent" if name == "ENOENT" and self._folder else "failed", name)
            return
        _bound_files(self._process.pid)
        threading.Thread(target=self._watch, daemon=True).start()

    def poll(self) -> str | None:
        """The step that it is at now; None before the first, between two, and when it is over."""
        return None if self._folder is None else Log(self._events()).stage

    def value(self, step: str, until: float) -> Any:
        """What `step` gave, as soon as it is there; None when the worker ended or `until` came before it."""
        ended = False
        while self._process is not None and self._folder is not None:
            log = Log(self._events())
            if step in log.values or step in log.errors or ended or time.monotonic() >= until:
                return log.values.get(step)
            ended = wait_exit(self._process, min(until, time.monotonic() + 0.002))
        return None

    def finish(self, deadline: float) -> WorkerResult:
        """Wait until it ends or the instant `deadline` (of `time.monotonic`), kill its group, read what it left."""
        if self._process is None or self._folder is None:
            failed, why = self._failure or ("skipped", "closed")
            self.close()
            return WorkerResult(failed, {}, {}, ms=since(self.begun), detail=why)
        ended = self._until_bye(deadline)
        returncode = 0 if ended is None else end(self._process)
        elapsed = since(self.begun)
        self._over.set()
        with self._lock:
            log, output, trace = Log(self._events()), self._output(), self._tail("trace.txt")
        if ended is None:
            self._leaving = threading.Thread(target=self._leave, daemon=False)
            self._leaving.start()
        self.close()
        state, name, detail = _outcome(log, ended is not False, returncode)
        kept = returncode if ended and state != "ok" else None
        stage = None if state == "ok" else log.stage
        return WorkerResult(state, log.values, log.errors, stage, name, kept, elapsed, output, trace or None, detail)

    def _until_bye(self, deadline: float) -> bool | None:
        """Whether it ended by then; None when it has said bye, which is before the system has taken its memory down.

        That takes 20 ms after an import of torch, and much longer where CUDA was started.
        """
        assert self._process is not None
        while not wait_exit(self._process, min(deadline, time.monotonic() + _TICK)):
            if self._said_bye():
                return None
            if time.monotonic() >= deadline:
                return False
        return True

    def _said_bye(self) -> bool:
        assert self._folder is not None
        with contextlib.suppress(OSError), open(os.path.join(self._folder, "events.jsonl"), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 128))
            return Log(file.read(128).rpartition(b"\n")[0].rpartition(b"\n")[2]).bye
        return False

    def close(self) -> None:
        """End it without asking how it went, and remove its directory.

        After a bye that goes on in a thread, which a process that leaves without Python's tear-down must wait for.
        """
        if self._leaving is None:
            self._leave()

    def _leave(self) -> None:
        self._over.set()
        if self._process is not None and self._process.returncode is None:
            end(self._process)
        with self._lock:
            if self._folder is not None:
                if self._process is not None:
                    _end_stragglers(os.path.basename(self._folder), self._process.pid)
                remove(self._folder)
                self._folder = None

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            with self._lock:
                self._trim()

    def _trim(self) -> None:
        """Keep output.txt below its cap; the beginning of the first overflow is remembered."""
        if self._folder is None:
            return
        path = os.path.join(self._folder, "output.txt")
        with contextlib.suppress(OSError):
            size = os.stat(path).st_size
            if size > FILE_CAP and self._process is not None:
                kill(self._process)
            if size > OUTPUT_CAP:
                if not self._beginning:
                    with open(path, "rb") as file:
                        self._beginning = file.read(KEPT)
                os.truncate(path, 0)

    def _events(self) -> bytes:
        assert self._folder is not None
        with contextlib.suppress(OSError), open(os.path.join(self._folder, "events.jsonl"), "rb") as file:
            return file.read(EVENTS_CAP)
        return b""

    def _output(self) -> str:
        tail = self._tail("output.txt")
        if not self._beginning:
            return tail
        return decode(self._beginning, CONSOLE) + "\n[...]\n" + tail

    def _tail(self, name: str) -> str:
        """The beginning and the end of a file, without its middle."""
        assert self._folder is not None
        try:
            with open(os.path.join(self._folder, name), "rb") as file:
                first = file.read(KEPT)
                size = os.fstat(file.fileno()).st_size
                file.seek(max(KEPT, size - KEPT))
                last = file.read(KEPT)
        except OSError:
            return ""
        return decode(first, CONSOLE) + ("\n[...]\n" if size > 2 * KEPT else "") + decode(last, CONSOLE)


def run_worker(
    argv_prefix: Sequence[str],
    script: str,
    ask: Mapping[str, Any],
    env: Mapping[str, str],
    *,
    limit: float,
    cwd: str | None = None,
) -> WorkerResult:
    """Start a worker and wait for it, at most `limit` seconds."""
    worker = Worker(argv_prefix, script, ask, env, cwd)
    return worker.finish(worker.begun + limit)


def _outcome(log: Log, ended: bool, returncode: int | None) -> tuple[State, str | None, str | None]:
    state, name, detail = verdict(ended, returncode)
    if log.bye:
        return "ok", None, None
    if state == "timeout" or name is not None:
        return state, name, detail
    if log.hello:
        return "crashed", None, f"left with exit code {returncode} in mid-step"
    return "failed", None, f"exit code {returncode} before it began"


def _spawned(argv_prefix: Sequence[str], folder: str, env: Mapping[str, str], cwd: str | None) -> Process:
    with open(os.path.join(folder, "output.txt"), "ab") as output:
        marked = {**env, MARK: os.path.basename(folder)}
        return spawn_quietly([*argv_prefix, os.path.join(folder, "script.py")], output, marked, cwd)


def _bound_files(pid: int) -> None:
    """Let the kernel bound what the worker writes, where it can do that from outside."""
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (FILE_CAP, FILE_CAP))


def _end_stragglers(mark: str, pid: int) -> None:
    """Kill grandchildren that made a session of their own (Linux; they are younger than the worker)."""
    wanted = f"{MARK}={mark}".encode()
    with contextlib.suppress(OSError):
        for other in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            if other > pid:
                with contextlib.suppress(OSError), open(f"/proc/{other}/environ", "rb") as file:
                    if wanted in file.read().split(b"\0"):
                        os.kill(other, SIGKILL)
