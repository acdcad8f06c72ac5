"""Where the process starts: the command `envcheck`, and `python -m envcheck`.

What makes the start quick and concerns the whole process stands here, so that importing the library changes nothing.
"""

import sys

if __name__ == "__main__":  # `python -m` puts the working directory first: a stray click.py or typing.py must not run
    safe = getattr(sys.flags, "safe_path", False)  # -P and PYTHONSAFEPATH leave it away themselves
    sys.path[:] = [entry for entry in (sys.path if safe else sys.path[1:]) if entry] or sys.path

import gc
import os
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:  # the head start comes before `typing`
    from typing import Any, NoReturn

_SELDOM: "dict[str, dict[str, Any]]" = {
    "inspect": {},  # click imports it to tidy docstrings that we tidy ourselves: 7 of the 38 ms of `envcheck --version`
    "textwrap": {},  # msgspec, for schemas
    "msgspec.inspect": {},  # for schemas, too
    **({"platform": {"system": lambda: os.uname().sysname}} if hasattr(os, "uname") else {}),  # uuid asks this of it
}
"""Modules that libraries import and we hardly use, and what is asked of them at once."""


class _Later(ModuleType):
    """Stands in for a module that is imported when it is first asked for something else."""

    def __init__(self, name: str, **known: "Any") -> None:
        super().__init__(name)
        self.__dict__.update(known)

    def __getattr__(self, name: str) -> "Any":
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = __import__(self.__name__, fromlist=("*",))
        self.__dict__.update(module.__dict__)
        return getattr(module, name)


def main() -> "NoReturn":
    """Start quickly, run the command line, leave with its exit code."""
    gc.disable()  # a short life needs no collector of cycles
    if sys.argv[1:2] == ["doctor"]:
        from envcheck.probes import headstart

        headstart.begin(sys.argv[1:])
    try:
        for name, known in _SELDOM.items():
            sys.modules.setdefault(name, _Later(name, **known))
        from envcheck.cli import main as run
    except BaseException:  # Ctrl-C, or click is not there
        if "envcheck.probes.headstart" in sys.modules:
            headstart.abandon()
        raise
    run()


if __name__ == "__main__":
    main()
