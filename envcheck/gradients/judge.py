"""Judge a run: every measurement held against what it must be, device by device."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from msgspec import ValidationError, convert, structs, to_builtins

from envcheck.gradients import lesson
from envcheck.gradients.ask import wanted
from envcheck.gradients.devices import disagreements, tf32_effect
from envcheck.gradients.failures import failed
from envcheck.gradients.formats import as_hex
from envcheck.gradients.judge_exact import Book, judge_exact
from envcheck.gradients.judge_lesson import judge_lesson
from envcheck.gradients.judge_random import Leg, judge_random, judge_reference, reference_legs
from envcheck.gradients.precision import announced_bits, read_precision, subnormals_kept
from envcheck.gradients.record import Run
from envcheck.model.base import Plain
from envcheck.model.errors import EnvcheckError, Exit
from envcheck.model.gradients import (
    Epoch,
    GradientCase,
    GradientDevice,
    Gradients,
    LoadResult,
    Precision,
    TrueReference,
)
from envcheck.model.text import say

Result = TypeVar("Result")


class Step(Plain, frozen=True):
    """A measured step: its name, the words of it, and its value or its exception."""

    name: str
    words: tuple[str, ...]
    value: Any
    error: dict[str, str] | None


def judge(run: Run, book: Book | None = None, *, source: str = "") -> Gradients:
    """The whole run, judged. `book` may hold truths that were worked out while the worker was busy.

    `source` is the file that the run was read from, if it was.

    Raises:
        EnvcheckError: a measurement cannot be read.
    """
    judging = _Judge(run, book or Book(run.ask.exact, run.ask.large, run.ask.pool))
    try:
        # A struct does not look at the types that it is given; the codec does.
        return convert(to_builtins(judging.gradients()), Gradients)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError, ValidationError) as error:
        raise EnvcheckError(
            say("a measurement cannot be read: {why}", why=f"{type(error).__name__}: {error}"),
            where=f"{source}: {judging.where}" if source else judging.where,
            code=Exit.USAGE if source else Exit.UNKNOWN,
        ) from error


class _Judge:
    def __init__(self, run: Run, book: Book) -> None:
        self.run, self.book = run, book
        self.switches: dict[str, str] = _strings(run.values.get("switches"))
        self.legs: dict[tuple[str, str, int], list[Leg]] = {}
        self.doubtful: set[str] = set()
        self.where = ""

    def gradients(self) -> Gradients:
        """All of it."""
        run, torch = self.run, self.run.values.get("torch") or {}
        references = tuple(self._references())
        self.doubtful = {reference.op for reference in references if not reference.ok}
        devices = tuple(self._devices())
        error = run.errors.get("import") or run.errors.get("torch")
        return Gradients(
            torch=torch.get("version"),
            threads=torch.get("threads"),
            cpu_capability=torch.get("capability"),
            seed=run.ask.seed,
            switches=self.switches,
            variables=_strings(run.values.get("variables")),
            devices=devices,
            references=references,
            disagreements=disagreements(run.values, devices),
            epochs=tuple(Epoch(loss=as_hex(loss), w=as_hex(w)) for loss, w in lesson.train().epochs()),
            failed_in="import" if error else run.stage if run.state != "ok" else None,
            failure=_failure(run, error),
        )

    def _references(self) -> Iterator[TrueReference]:
        steps = {step.words: step.value for step in self._steps("reference") if step.error is None}
        for (_, op, width, seed), value in steps.items():
            spread = steps.get(("reference", op, "float32", seed))
            if spread is not None:
                self.legs[op, width, int(seed)] = self._at(f"reference/{op}", reference_legs, value, spread)
            if "slope" in value:
                yield self._at(f"reference/{op}", judge_reference, op, value["slope"])

    def _devices(self) -> Iterator[GradientDevice]:
        known = {one["device"]: one for one in self.run.values.get("devices") or []}
        for label, about in known.items():
            if wanted(label, self.run.ask.devices):
                yield self._device(label, about, list(self._steps(label)))

    def _device(self, label: str, about: dict[str, Any], steps: Sequence[Step]) -> GradientDevice:
        kind = str(about["kind"])
        cases = [case for step in steps for case in self._cases(kind, step)]
        found = [case for step in steps for case in self._as_found(kind, step)]
        precision = tuple(found for step in steps for found in self._precision(kind, step))
        kernel = next((step for step in steps if step.words[1] in ("kernel", "open") and step.error), None)
        load = next((step.value for step in steps if step.words[1:] == ("load",) and step.value), None)
        timed = next((step.value for step in steps if step.words[1:] == ("kernel",) and step.value), None)
        device = GradientDevice(
            device=label,
            kind=kind,
            name=about.get("name"),
            uuid=about.get("uuid"),
            compute_capability=about.get("capability"),
            verdict="unknown",
            kernel_ms=timed and timed["ms"],
            kernel_error=_first_line(kernel.error) if kernel and kernel.error else None,
            cases=(*cases, *found),
            precision=precision,
            load=None if load is None else LoadResult(**load),
            tf32_effect=tf32_effect(found, cases),
            died_in=tuple(self._crashes(label)),
        )
        unfinished = self.run.state != "ok" and not any(step.words[1] == "end" for step in steps)
        return _with_verdict(device, label == "cpu" and bool(self.doubtful), unfinished)

    def _crashes(self, label: str) -> Iterator[str]:
        """The cases of a device that brought the process down; the references are the CPU's."""
        for crash in self.run.crashes:
            device, _, case = crash.partition("/")
            if device == label:
                yield case
            elif device == "reference" and label == "cpu":
                yield crash

    def _cases(self, kind: str, step: Step) -> Iterator[GradientCase]:
        layer, words = step.words[1], step.words[2:]
        if layer == "lesson":
            if step.error is not None:
                yield failed("lesson", "lesson", words[0], step.error)
            else:
                yield from self._at(step.name, judge_lesson, words[0], step.value)
        elif layer == "exact":
            op, dtype = words
            yield self._exact(kind, step, op, dtype)
        elif layer == "random":
            op, dtype, seed = words
            yield self._random(kind, step, op, dtype, seed)
        elif layer in ("precision", "elementwise", "load") and step.error is not None:
            op, dtype = words if len(words) == 2 else (layer, "float32")
            yield failed("precision" if layer != "load" else "load", op, dtype, step.error)

    def _exact(self, kind: str, step: Step, op: str, dtype: str) -> GradientCase:
        if step.error is not None:
            return failed("exact", op, dtype, step.error)
        inexact = op.startswith("conv") and (kind != "cpu" or self._without_onednn())
        return self._at(step.name, lambda: judge_exact(self.book, op, dtype, step.value, inexact_allowed=inexact))

    def _without_onednn(self) -> bool:
        """Whether convolutions on the CPU may be NNPACK's, which work with fractions like those of GPU libraries."""
        paths = ("backends.mkldnn.is_available", "backends.mkldnn.enabled")
        return any(self.switches.get(path) == "False" for path in paths)

    def _random(
        self, kind: str, step: Step, op: str, dtype: str, seed: str, precision: int | None = None
    ) -> GradientCase:
        if step.error is not None:
            return failed("random", op, dtype, step.error)
        legs = self.legs.get((op, "float32" if dtype == "float32" else "narrow", int(seed)))
        if legs is None or op in self.doubtful:
            return GradientCase(layer="random", op=op, dtype=dtype, outcome="unjudged", seed=int(seed))
        if precision is None and dtype == "float32" and kind == "cpu":
            precision = self._announced(kind, op)
        return self._at(step.name, judge_random, op, dtype, int(seed), step.value, legs, precision)

    def _as_found(self, kind: str, step: Step) -> Iterator[GradientCase]:
        """float32 with TF32 as it was found, where that is on."""
        if step.words[1] != "found" or step.error is not None:
            return
        op, dtype, seed = step.words[2:]
        precision = self._announced(kind, op)
        if precision is not None:
            yield structs.replace(self._random(kind, step, op, dtype, seed, precision), dtype="tf32")

    def _announced(self, kind: str, op: str) -> int | None:
        family = "conv2d" if op.startswith("conv") else "lstm" if op == "lstm" and kind != "cpu" else "matmul"
        bits, switch = announced_bits(kind, family, self.switches)
        return None if switch is None else bits + 1

    def _precision(self, kind: str, step: Step) -> Iterator[Precision]:
        if step.error is not None:
            return
        if step.words[1] == "precision":
            op, dtype = step.words[2:]
            yield self._at(step.name, read_precision, kind, op, dtype, step.value, self.switches)
        elif step.words[1] == "elementwise":
            kept = self._at(step.name, lambda: all(subnormals_kept(column) for column in step.value["subnormal"]))
            yield Precision(op="multiply", dtype="float32", subnormals=kept)

    def _steps(self, first: str) -> Iterator[Step]:
        for name, value in self.run.values.items():
            words = tuple(name.split("/"))
            if words[0] == first and len(words) > 1:
                yield Step(name, words, value, None)
        for name, error in self.run.errors.items():
            words = tuple(name.split("/"))
            if words[0] == first and len(words) > 1:
                yield Step(name, words, None, error)

    def _at(self, where: str, function: Callable[..., Result], *args: Any) -> Result:
        """Call, remembering where the record was being read."""
        self.where = where
        return function(*args)


def _with_verdict(device: GradientDevice, doubtful: bool, unfinished: bool) -> GradientDevice:
    bad = (
        any(case.outcome in ("wrong", "failed") for case in device.cases)
        or any(found.short for found in device.precision)
        or bool(device.load and device.load.wrong)
        or device.kernel_error is not None
        or bool(device.died_in)
        or doubtful
    )
    judged = not unfinished and any(case.outcome == "ok" for case in device.cases)
    return structs.replace(device, verdict="untrusted" if bad else "trusted" if judged else "unknown")


def _failure(run: Run, error: dict[str, str] | None) -> str | None:
    if error is not None:
        return f"{error.get('type', 'error')}: {_first_line(error)}"
    if run.state == "ok":
        return None
    return " ".join(word for word in (run.state, run.signal, run.detail) if word)


def _first_line(error: dict[str, str]) -> str:
    return (error.get("text", "").strip().splitlines() or [error.get("type", "error")])[0][:400]


def _strings(found: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
