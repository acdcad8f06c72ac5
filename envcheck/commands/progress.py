"""A line on a terminal's standard error that says what is being waited for, once the wait is long."""

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from envcheck.commands.world import World
from envcheck.model.text import say
from envcheck.render.layout import cells, cut
from envcheck.render.terminal import terminal_of, write

if TYPE_CHECKING:
    from typing_extensions import Self

PATIENCE = 1.5
"""Seconds without a word."""
EVERY = 0.5
_NAMES = {
    "interpreter": say("the interpreter"),
    "torch": say("import torch"),
    "driver": say("the NVIDIA driver"),
    "amd": say("the AMD driver"),
    "host": say("the system"),
    "settings": say("settings of pip, uv and conda"),
    "backprop": say("back-propagation"),
}


class Progress:
    """Looks begin and end; what has begun and not ended is named. Silent when standard error is no terminal."""

    def __init__(self, world: World, limit: float) -> None:
        self._world = world
        self._limit = limit
        self._terminal = terminal_of(world.err, world.env)
        self._pending: dict[str, float] = {}
        self._shown = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Self":
        if self._terminal.tty:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._terminal.tty:
            self._thread.join()
            self.show("")

    def began(self, look: str) -> None:
        """A look has begun."""
        self._pending[look] = time.monotonic()

    def ended(self, look: str) -> None:
        """A look has ended, however."""
        self._pending.pop(look, None)

    def line(self, now: float) -> str:
        """What is being waited for at `now` (monotonic seconds), or nothing."""
        pending = dict(self._pending)
        if not pending:
            return ""
        text = say(
            "waiting for: {looks} ({seconds} s of {limit} s)",
            looks=", ".join(self._world.voice(_NAMES[look]) if look in _NAMES else look for look in pending),
            seconds=int(now - min(pending.values())),
            limit=f"{self._limit:g}",
        )
        return cut(self._world.voice(text), self._terminal.width - 1, self._terminal.marks.ellipsis)

    def show(self, line: str) -> None:
        """Put `line` in place of the one that is shown; an empty one leaves the terminal as it was."""
        if line or self._shown:
            blank = " " * max(0, cells(self._shown) - cells(line))
            write(self._world.err, f"\r{line}{blank}" + ("" if line else "\r"))
            self._shown = line

    def _run(self) -> None:
        wait = PATIENCE
        while not self._done.wait(wait):
            self.show(self.line(time.monotonic()))
            wait = EVERY
