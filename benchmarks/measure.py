"""Whole processes, timed from outside: wall and CPU seconds, peak memory, in turn so that drift hits all alike."""

import os
import resource
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

HALF = 1 << 19
"""Bytes that are kept of the beginning of an output, and as many of its end."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One run: seconds, KiB, exit code, bytes of output."""

    wall: float
    cpu: float
    peak_kib: int
    returncode: int
    timed_out: bool = False
    output: str = ""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Something to time under a name."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}


def run(command: Command, *, limit: float = 120.0, base_env: Mapping[str, str] | None = None) -> Sample:
    """Run once, output to a file (a pipe would make a chatty program wait for us), children's time counted in."""
    env = {**(os.environ if base_env is None else base_env), **command.env}
    with tempfile.TemporaryFile() as sink, tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env=env,
            cwd=folder,
            start_new_session=True,
        )
        usage, status, timed_out = _wait(process, limit)
        wall = time.perf_counter() - begun
        _kill_group(process.pid)
        output = _ends(sink).decode("utf-8", "replace")
    code = os.waitstatus_to_exitcode(status)
    return Sample(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        peak_kib=usage.ru_maxrss,
        returncode=code,
        timed_out=timed_out,
        output=output,
    )


def _ends(sink: IO[bytes]) -> bytes:
    """All of a file, or its beginning and its end."""
    sink.seek(0)
    beginning = sink.read(HALF)
    sink.seek(max(HALF, os.fstat(sink.fileno()).st_size - HALF))
    return beginning + sink.read(HALF)


def _wait(process: "subprocess.Popen[bytes]", limit: float) -> tuple[resource.struct_rusage, int, bool]:
    """Wait without looking every now and then, which would be a tenth of the shortest commands; a timer ends it."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        _kill_group(process.pid)

    timer = threading.Timer(limit, stop)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage, status, late.is_set()


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def interleaved(
    commands: Sequence[Command], *, runs: int, warmup: int = 1, limit: float = 120.0
) -> dict[str, list[Sample]]:
    """A B C A B C ...: each command's samples, the warm-up rounds left out."""
    samples: dict[str, list[Sample]] = {command.name: [] for command in commands}
    for turn in range(-warmup, runs):
        for command in commands:
            sample = run(command, limit=limit)
            if turn >= 0:
                samples[command.name].append(msgspec.structs.replace(sample, output=sample.output[-2000:]))
    return samples


def ratios(
    numerator: Sequence[Sample], denominator: Sequence[Sample], field: str = "wall"
) -> tuple[float, float, float]:
    """Median, least and greatest of the ratios taken pair by pair."""
    pairs = [
        getattr(one, field) / max(getattr(other, field), 1e-9)
        for one, other in zip(numerator, denominator, strict=True)
    ]
    return statistics.median(pairs), min(pairs), max(pairs)


def median(samples: Sequence[Sample], field: str = "wall") -> float:
    """The median of one figure."""
    return statistics.median(getattr(sample, field) for sample in samples)


def executable(folder: Path, name: str) -> str:
    """A program of a virtual environment."""
    return str(folder / ("Scripts" if os.name == "nt" else "bin") / (f"{name}.exe" if os.name == "nt" else name))
