"""What verify-backprop is at, with a bar while a device is under load."""

from envcheck.commands.progress import Progress
from envcheck.model.text import say
from envcheck.probes.worker import Worker
from envcheck.render.layout import cut

_BAR = 24


class Waiting(Progress):
    """Names the step that the worker is at."""

    _worker: Worker | None = None

    def on(self, worker: Worker) -> None:
        """Watch this worker from now on."""
        self._worker = worker

    def line(self, now: float) -> str:  # noqa: ARG002 - the base class asks at an instant
        """The step, and how far the load is."""
        stage = self._worker.poll() if self._worker else None
        if not stage:
            return ""
        step, _, percent = stage.partition("@")
        text = self._world.voice(say("checking: {step}", step=step))
        if percent.isdecimal():
            done = min(int(percent), 100)
            filled = _BAR * done // 100
            text += f" [{'#' * filled}{'.' * (_BAR - filled)}] {done} %"
        return cut(text, self._terminal.width - 1, self._terminal.marks.ellipsis)
