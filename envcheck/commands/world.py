"""What a command is given from outside: the machine, the catalogue, streams and the clock. Tests hand in their own."""

import io
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

import click

from envcheck.locale import VARIABLES, choose

if TYPE_CHECKING:
    from datetime import datetime

    from envcheck.catalogue import Catalogue
    from envcheck.model.text import Text
    from envcheck.probes.system import System
    from envcheck.render.terminal import Terminal
    from envcheck.render.voice import Voice

_DRAWING = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM", "COLUMNS")
_SEEN = ("ENVCHECK_LANG", *VARIABLES, *_DRAWING, "ENVCHECK_TRACEBACK", "ENVCHECK_CACHE", "XDG_CACHE_HOME", "HOME")


class World:
    """Everything outside, made when it is first asked for.

    `asked_language` is what `--lang` said; it stands before ENVCHECK_LANG and the locale. A stream that was closed
    before the start (`>&-`) swallows what is written.
    """

    def __init__(
        self,
        *,
        system: "System | None" = None,
        catalogue: "Catalogue | None" = None,
        out: TextIO | None = None,
        err: TextIO | None = None,
        stdin: TextIO | None = None,
        now: "Callable[[], datetime] | None" = None,
    ) -> None:
        self._system = system
        self._catalogue = catalogue
        self.out = out or sys.stdout or io.StringIO()
        self.err = err or sys.stderr or io.StringIO()
        self.stdin = stdin or sys.stdin or io.StringIO()
        self._now = now
        self.asked_language: str | None = None

    @cached_property
    def system(self) -> "System":
        """The machine."""
        if self._system is not None:
            return self._system
        from envcheck.probes.system import System

        return System()

    @cached_property
    def catalogue(self) -> "Catalogue":
        """The facts that change with the calendar."""
        if self._catalogue is not None:
            return self._catalogue
        from envcheck.catalogue import Catalogue
        from envcheck.commands.cache import updated

        return updated(self, Catalogue.shipped())

    @property
    def real(self) -> bool:
        """Whether this is the machine itself, not one that a test made."""
        return self._system is None

    def now(self) -> "datetime":
        """The time, in UTC."""
        if self._now is not None:
            return self._now()
        from datetime import datetime, timezone

        return datetime.now(timezone.utc)

    def env(self, name: str) -> str | None:
        """One of the variables that say how to speak and to draw."""
        return self._environment.get(name) if self._system is None else self._system.env(name)

    @cached_property
    def _environment(self) -> Mapping[str, str | None]:
        return _ask_environment()

    @cached_property
    def language(self) -> str:
        """The language to speak; English where the stream's encoding has no Chinese."""
        from envcheck.render.terminal import can_show

        chosen = choose((self.asked_language, self.env("ENVCHECK_LANG")), self.env)
        return chosen if chosen == "en" or can_show(self.out, "中文") else "en"

    @cached_property
    def voice(self) -> "Voice":
        """Texts in the language to speak."""
        from envcheck.render.voice import Voice

        return Voice(self.language)

    @cached_property
    def terminal(self) -> "Terminal":
        """What standard output can show."""
        from envcheck.render.terminal import terminal_of

        return terminal_of(self.out, self.env)

    def write(self, text: str) -> None:
        """Write to standard output."""
        from envcheck.render.terminal import write

        write(self.out, text, colour=self.terminal.colour)

    def flush(self) -> None:
        """Hand everything that was written to the operating system."""
        from envcheck.render.terminal import write

        for stream in (self.out, self.err):
            write(stream, "")

    def warn(self, text: "Text") -> None:
        """Say a line on standard error."""
        from envcheck.render.terminal import write

        write(self.err, self.voice(text) + "\n")


def _ask_environment() -> Mapping[str, str | None]:
    """The few variables that `--help` needs, read by click: importing `probes.system` would double its time."""
    reader, context = click.Option(["--variable"]), click.Context(click.Command("environment"))
    found = {}
    for name in _SEEN:
        reader.envvar = name
        found[name] = reader.resolve_envvar_value(context)
    return found
