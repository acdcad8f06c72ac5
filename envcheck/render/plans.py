"""A plan as text for a screen and as JSON."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from envcheck import __version__
from envcheck.model.base import Plain, Value
from envcheck.model.plan import Build, Plan, Rejection
from envcheck.model.report import Fix
from envcheck.model.text import Text, say
from envcheck.render.document import to_json
from envcheck.render.layout import cells, pad, wrap
from envcheck.render.terminal import Terminal
from envcheck.render.voice import Voice

READABLE = 100


class Shown(Plain, frozen=True):
    """What is shown: the plan, the steps that carry it out, and remarks on the way there (mirrors, settings)."""

    plan: Plan
    steps: tuple[Fix, ...] = ()
    remarks: tuple[Text, ...] = ()


class BuildDocument(Value, frozen=True, kw_only=True):
    """A build and why it is not the one; `reason` is empty for the chosen one."""

    build: Build
    rule: str
    reason: str


class StepDocument(Value, frozen=True, kw_only=True):
    """A step: `argv` is the command, `shell` the line to paste."""

    what: str
    argv: tuple[str, ...]
    shell: str


class PlanDocument(Value, frozen=True, kw_only=True):
    """The plan for programs."""

    schema: int = 1
    envcheck: str
    build: Build | None
    reason: str
    notes: tuple[str, ...]
    nearest: tuple[str, ...]
    remarks: tuple[str, ...]
    steps: tuple[StepDocument, ...]
    rejected: tuple[BuildDocument, ...]


def document(shown: Shown, voice: Voice, stream: TextIO) -> str:
    """The plan as JSON that `stream` can carry."""
    plan = shown.plan
    steps = tuple(StepDocument(what=voice(step.what), argv=step.argv, shell=step.shell) for step in shown.steps)
    rejected = tuple(BuildDocument(build=one.build, rule=one.rule, reason=voice(one.reason)) for one in plan.rejected)
    made = PlanDocument(
        envcheck=__version__,
        build=plan.build,
        reason=voice(plan.reason),
        notes=tuple(voice(text) for text in plan.notes),
        nearest=tuple(voice(text) for text in plan.nearest),
        remarks=tuple(voice(text) for text in shown.remarks),
        steps=steps,
        rejected=rejected,
    )
    return to_json(made, stream)


def screen(shown: Shown, voice: Voice, terminal: Terminal, *, verbose: bool = False) -> str:
    """The plan for a person; commands stand on lines of their own and are never wrapped."""
    return "\n".join(_Screen(voice, terminal).lines(shown, verbose=verbose)) + "\n"


class _Screen:
    def __init__(self, voice: Voice, terminal: Terminal) -> None:
        self.voice = voice
        self.terminal = terminal
        self.width = min(terminal.width, READABLE)
        texts = (say("why"), say("note"), say("from"), say("try"), say("run"))
        self.labels = dict(zip(("why", "note", "from", "try", "run"), map(voice, texts), strict=True))
        self.label_width = max(map(cells, self.labels.values()))

    def lines(self, shown: Shown, *, verbose: bool) -> Iterator[str]:
        plan = shown.plan
        yield self.terminal.style(self._title(plan.build), bold=True)
        yield from self._labelled("why", self.voice(plan.reason))
        for note in (*plan.notes, *shown.remarks):
            yield from self._labelled("note", self.voice(note))
        for text in plan.nearest:
            yield from self._labelled("try", self.voice(text))
        for step in shown.steps:
            yield ""
            yield from self._labelled("run", self.voice(step.what))
            yield " " * (self.label_width + 4) + self.terminal.style(step.shell, fg="cyan")
        if verbose:
            yield from self._rejected(plan)

    def _title(self, build: Build | None) -> str:
        if build is None:
            return self.voice(say("No build of PyTorch is right here."))
        pairs = (("torch", f"{build.torch} ({build.variant})"), ("torchvision", build.torchvision))
        words = [f"{name} {version}" for name, version in (*pairs, ("torchaudio", build.torchaudio)) if version]
        return ", ".join(words)

    def _rejected(self, plan: Plan) -> Iterator[str]:
        yield ""
        yield self.voice(say("Other builds for this system, and why not:"))
        for one in _for_this_system(plan):
            text = f"{one.build.torch}+{one.build.variant}: {self.voice(one.reason)}"
            yield from _hung("  ", 4, wrap(text, self.width - 4))

    def _labelled(self, label: str, text: str) -> Iterator[str]:
        head = f"  {self.terminal.style(pad(self.labels[label], self.label_width), dim=True)}  "
        return _hung(head, self.label_width + 4, wrap(text, self.width - self.label_width - 4))


def _for_this_system(plan: Plan) -> Sequence[Rejection]:
    return [one for one in plan.rejected if one.rule not in ("os", "machine", "kind")]


def _hung(head: str, indent: int, lines: Iterable[str]) -> Iterator[str]:
    """`head` before the first line, as much space before the others."""
    for number, line in enumerate(lines):
        yield (head if not number else " " * indent) + line
