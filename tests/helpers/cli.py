"""Run one command line of envcheck inside the test: own environment, own streams, no process."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from envcheck.cli import run
from envcheck.commands.world import World
from envcheck.probes.system import System


class Result(NamedTuple):
    """How a command line ended and what it wrote."""

    code: int
    out: str
    err: str


class Stream(io.TextIOWrapper):
    """A stream of any encoding that remembers what was written."""

    def __init__(self, encoding: str, tty: bool) -> None:
        self.bytes = io.BytesIO()
        self._tty = tty
        super().__init__(self.bytes, encoding=encoding, newline="\n")

    def isatty(self) -> bool:
        return self._tty

    def text(self) -> str:
        self.flush()
        return self.bytes.getvalue().decode(self.encoding)


def invoke(
    *argv: str | Path,
    environ: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    encoding: str = "utf-8",
    tty: bool = False,
    root: Path | str = "/",
) -> Result:
    """Run `envcheck ARGV` on a System of its own (no variables unless given, real files unless `root` is)."""
    out, err = Stream(encoding, tty), Stream(encoding, tty)
    world = World(
        system=System(root, dict(environ or {})),
        out=out,
        err=err,
        stdin=io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"),
    )
    code = run([str(word) for word in argv], world)
    return Result(code, out.text(), err.text())
