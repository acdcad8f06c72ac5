"""Peers in virtual environments of their own, versions pinned; one that cannot run here is listed with the reason."""

import functools
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.measure import Command, executable


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that people use today: what to install and the program to call."""

    name: str
    requirement: str
    program: str
    needs_torch: bool = False


PEERS = {
    peer.name: peer
    for peer in (
        Peer(name="torchruntime", requirement="torchruntime==2.24.0", program="torchruntime", needs_torch=True),
        Peer(name="env-doctor", requirement="env-doctor==0.3.5", program="env-doctor", needs_torch=True),
        Peer(name="light-the-torch", requirement="light-the-torch==0.8.1", program="ltt"),
        Peer(name="uv", requirement="uv==0.13.9", program="uv"),
        Peer(name="cuda-doctor", requirement="cuda-doctor==0.2.0", program="cuda-doctor", needs_torch=True),
        Peer(name="mlenvdoctor", requirement="mlenvdoctor==0.1.6", program="mlenvdoctor", needs_torch=True),
        Peer(name="accelerate", requirement="accelerate==1.15.0", program="accelerate", needs_torch=True),
        Peer(name="uv-torch-compass", requirement="uv-torch-compass==0.7.0", program="uv-torch-compass"),
    )
}


WITHOUT_TORCH = "ENVCHECK_BENCHMARKS_WITHOUT_TORCH"
"""Set to make a peer's interpreter not see torch."""


class AbsentError(Exception):
    """A peer that cannot be had or run here, with the reason."""


def cache() -> Path:
    """Where peers are installed: `$ENVCHECK_BENCHMARKS`, else the user's cache folder."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("ENVCHECK_BENCHMARKS")
    return Path(chosen) if chosen else user_cache_path("torch-envcheck") / "benchmarks"


def install(peer: Peer) -> Path:
    """The peer's environment, made at the first call. It sees this interpreter's torch where it needs one."""
    folder = cache() / peer.requirement.replace("==", "-")
    program = Path(executable(folder, peer.program))
    if program.exists():
        return folder
    venv.create(folder, with_pip=True, clear=True)
    python = executable(folder, "python")
    if peer.needs_torch:
        _share_torch(python)
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", peer.requirement],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    if done.returncode or not program.exists():
        last = (done.stderr.strip().splitlines() or ["no program of that name was installed"])[-1]
        raise AbsentError(last)
    return folder


def _share_torch(python: str) -> None:
    """Let the peer's interpreter import this interpreter's torch, so that nothing is downloaded twice."""
    asked = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    link = Path(asked.stdout.strip()) / "shared_torch.pth"
    place = sysconfig.get_path("purelib")
    line = f"import os, sys; os.environ.get('{WITHOUT_TORCH}') or sys.path.append({place!r})\n"
    link.write_text(line, encoding="utf-8")


def command(name: str, *arguments: str, label: str | None = None) -> Command:
    """The command line of a peer; raises `AbsentError` where it cannot run."""
    peer = PEERS[name]
    program = executable(install(peer), peer.program)
    return Command(name=label or " ".join((peer.program, *arguments)), argv=(program, *arguments))


def available(wanted: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[list[Command], list[str]]:
    """The peers' command lines that can run here, and a line with the reason for each that cannot."""
    found: list[Command] = []
    absent: list[str] = []
    for name, arguments in wanted:
        try:
            found.append(command(name, *arguments))
        except AbsentError as error:  # noqa: PERF203 - a handful of peers
            absent.append(f"{name}: not measured, {error}")
    return found, absent


def ours(*arguments: str, label: str | None = None) -> Command:
    """An envcheck command of this interpreter, by its installed script; its bytecode is kept, as in a wheel's place."""
    _compile()
    script = Path(sysconfig.get_path("scripts")) / ("envcheck.exe" if os.name == "nt" else "envcheck")
    argv = (str(script), *arguments) if script.exists() else (sys.executable, "-m", "envcheck", *arguments)
    return Command(name=label or " ".join(("envcheck", *arguments)), argv=argv)


@functools.cache
def _compile() -> None:
    import compileall

    import envcheck

    compileall.compile_dir(str(Path(envcheck.__file__).parent), quiet=2)


def python(*arguments: str, label: str | None = None) -> Command:
    """This interpreter."""
    return Command(name=label or " ".join(("python", *arguments)), argv=(sys.executable, *arguments))
