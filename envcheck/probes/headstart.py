"""A head start for `doctor`: the target's child, which takes longest, is started before anything else is imported.

Only where the command line leaves no doubt which interpreter is meant and that it will be looked at; everything else
starts its child a little later, when it is known. What was started and is not wanted after all is ended.
"""

import os
import sys
import time

from envcheck.probes.launch import (
    MARK,
    SIGKILL,
    Spawned,
    child_environment,
    fill,
    private_folder,
    remove,
    spawn_posix,
    target_worker,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEADLINE = 60.0
"""Seconds that `doctor` looks, unless it is told otherwise."""
_HARMLESS = frozenset(("--no-torch", "-v", "--verbose"))
_WITH_VALUE = frozenset(("--format", "--lang", "--select", "--ignore", "--fail-on", "--save"))
"""Options that do not change what is looked at."""


class HeadStart:
    """A target's child under way. `key`: all that decides whether it is the one that is wanted."""

    def __init__(self, key: tuple[object, ...], folder: str, process: Spawned) -> None:
        self.key, self.folder, self.process = key, folder, process
        self.begun = time.monotonic()


_begun: list[HeadStart] = []


def begin(argv: "Sequence[str]", environ: "Mapping[str, str]" = os.environ) -> None:
    """Start the child that `argv` will want, if that is plain; never raises."""
    torch = torch_if_plain(argv)
    python = None if torch is None or not hasattr(os, "posix_spawn") else _interpreter(environ)
    if torch is None or python is None:
        return
    folder = None
    try:
        env = child_environment(environ)
        key = _key(python, torch, DEADLINE, env, os.getcwd())
        folder = private_folder(env)
        script, files = target_worker(torch=torch, limit=DEADLINE - time.process_time())
        fill(folder, script, files)
        with open(os.path.join(folder, "output.txt"), "ab") as output:
            marked = {**env, MARK: os.path.basename(folder)}
            process = spawn_posix([python, "-B", os.path.join(folder, "script.py")], output.fileno(), marked)
    except (OSError, ValueError, NotImplementedError):  # it comes again, and is told, where it is meant
        if folder is not None:
            remove(folder)
    else:
        _begun.append(HeadStart(key, folder, process))


def taken(python: str, torch: bool, deadline: float, env: "Mapping[str, str]", cwd: str) -> HeadStart | None:
    """The child that is under way, when it is the very one that would be started now."""
    if _begun and _begun[0].key == _key(python, torch, deadline, env, cwd):
        return _begun.pop()
    return None


def abandon() -> None:
    """End what was started and was not wanted."""
    while _begun:
        from contextlib import suppress

        begun = _begun.pop()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(begun.process.pid, SIGKILL)
        begun.process.wait(0.3)
        remove(begun.folder)


def _key(python: str, torch: bool, deadline: float, env: "Mapping[str, str]", cwd: str) -> tuple[object, ...]:
    return python, torch, deadline, dict(env), cwd


def torch_if_plain(argv: "Sequence[str]") -> bool | None:
    """Whether torch is looked at, when the words are `doctor` and options that do not matter here; else None."""
    if argv[:1] != ["doctor"]:
        return None
    words = iter(argv[1:])
    for word in words:
        if word.partition("=")[0] in _WITH_VALUE:
            if "=" not in word and next(words, None) is None:
                return None
        elif word not in _HARMLESS:
            return None
    return "--no-torch" not in argv


def _interpreter(environ: "Mapping[str, str]") -> str | None:
    """The first of `interpreter.choose`, where that takes no more than a look or two at the disk."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        folder = environ.get(variable, "")
        for name in ("bin/python", "bin/python3") if folder else ():
            path = f"{folder.rstrip('/')}/{name}"
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    has_torch = os.path.isfile(os.path.join(sys.prefix, "lib", version, "site-packages", "torch", "__init__.py"))
    return sys.executable if has_torch else None
