"""How a worker is started: a directory that only we can enter, its files, and the interpreter in it.

Only what Python has loaded anyway is imported here: a look's child is the first thing that `doctor` starts.
"""

import errno
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` and `contextlib` take longer than all that is done here
    from collections.abc import Mapping, Sequence

WORKERS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "workers")
"""Where the scripts of workers lie."""
MARK = "ENVCHECK_WORKER"
"""The variable by which a grandchild that left the process group is still known to be ours."""
SIGKILL, SIGPIPE, SIGXFSZ = 9, 13, 25
"""As everywhere: importing `signal` for them takes a millisecond."""
_TARGET = """
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # PYTHONSAFEPATH leaves it away
import target
target.main({ask!r})
"""
_FILES, _WITH_TORCH = ("target.py", "target_files.py"), ("target_torch.py",)


class Spawned:
    """A process that was started by `posix_spawn`: what we need of Popen, whose module takes 3 ms to import."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def wait(self, limit: float) -> int | None:
        """The return code (minus the signal that ended it); None when it has not ended after `limit` seconds."""
        until, pause = time.monotonic() + limit, 0.0005
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= until:
                return None
            else:
                time.sleep(pause)
                pause = min(pause * 2, 0.02)
        return self.returncode


def spawn_posix(argv: "Sequence[str]", output: int, env: "Mapping[str, str]") -> Spawned:
    """Start a program in a session of its own, in our directory, both streams into the file `output`.

    Raises:
        OSError: it cannot be started.
        NotImplementedError: this system has no `setsid` for it.
    """
    both = ((os.POSIX_SPAWN_DUP2, output, stream) for stream in (1, 2))
    files = ((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), *both)
    pid = os.posix_spawn(argv[0], list(argv), env, file_actions=files, setsid=True, setsigdef=(SIGPIPE, SIGXFSZ))
    return Spawned(pid)


def child_environment(environ: "Mapping[str, str]") -> dict[str, str]:
    """The environment for an interpreter other than ours.

    macOS: a framework build leaves `__PYVENV_LAUNCHER__` to its children, which would then take themselves for our
    environment.
    """
    return {name: value for name, value in environ.items() if name != "__PYVENV_LAUNCHER__"}


def private_folder(env: "Mapping[str, str]") -> str:
    """A new directory that only we can enter (`tempfile` would do, and costs 7 ms at every start)."""
    asked = [env[name] for name in ("TMPDIR", "TEMP", "TMP", "HOME") if env.get(name)]
    refused: OSError = FileNotFoundError(errno.ENOENT, "no temporary directory")
    for base in sorted((*asked, "/tmp", "/var/tmp"), key=env.get("HOME", "").__eq__):  # noqa: S108 - the directory made there is private
        folder = os.path.join(os.path.abspath(base), f"envcheck-{os.urandom(8).hex()}")
        try:
            os.mkdir(folder, 0o700)
        except OSError as error:
            refused = error
        else:
            return folder
    raise refused


def fill(folder: str, script: str, beside: "Mapping[str, str | bytes]", ask: bytes = b"{}") -> None:
    """Write a worker's files: its program, the files beside it, what it is asked, and the empty list of events."""
    for name, text in {"script.py": script, **beside, "ask.json": ask, "events.jsonl": b""}.items():
        place = os.path.join(folder, name)
        if "/" in name and not os.path.isdir(os.path.dirname(place)):
            os.mkdir(os.path.dirname(place), 0o700)
        with open(place, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())


def remove(folder: str) -> None:
    """Remove a worker's directory, as far as it can be."""
    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                remove(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(folder)
    except OSError:
        pass


def worker_text(name: str) -> str:
    """The text of one of our workers' files."""
    with open(os.path.join(WORKERS, name), encoding="utf-8") as file:
        return file.read()


def worker_files(*names: str) -> dict[str, bytes]:
    """Our workers' files of these names, as `beside` takes them, with the bytecode that Python keeps of them here.

    An interpreter of our own kind need not compile them then; every other one does not look at the bytecode.
    """
    files = {}
    for name in names:
        path = os.path.join(WORKERS, name)
        with open(path, "rb") as file:
            files[name] = file.read()
        kept = f"__pycache__/{name.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
        try:
            with open(os.path.join(WORKERS, kept), "rb") as file:
                code = file.read()
            if code[4:16] == _stamp(os.stat(path)):
                # PEP 552: "made from a source with this hash, do not check"; the copy has another time of change.
                files[kept] = code[:4] + b"\1\0\0\0" + bytes(8) + code[16:]
        except OSError:
            continue
    return files


def target_worker(*, torch: bool, limit: float) -> tuple[str, dict[str, bytes]]:
    """Program and files of the worker that looks at the target, with or without torch, for `limit` seconds."""
    script = _TARGET.format(ask={"torch": torch, "limit": limit, "begun": time.time()})
    return script, worker_files(*_FILES, *(_WITH_TORCH if torch else ()))


def _stamp(status: os.stat_result) -> bytes:
    """What bytecode says of its source: flags, time of change, size."""
    return b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in (0, int(status.st_mtime), status.st_size))
