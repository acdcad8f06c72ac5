"""Measure back-propagation in the examined interpreter, judge it, and put it among the facts."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from envcheck import __version__
from envcheck.gradients.ask import Ask, make_ask, script
from envcheck.gradients.judge import judge
from envcheck.gradients.judge_exact import Book
from envcheck.gradients.record import Run
from envcheck.model.base import Plain
from envcheck.model.facts import Facts, Observation, Python, State, Torch, TorchDevice
from envcheck.model.gradients import GradientDevice, Gradients
from envcheck.probes.interpreter import Choice, choose
from envcheck.probes.launch import child_environment
from envcheck.probes.system import System
from envcheck.probes.worker import Worker, WorkerResult

TorchDeviceKind = Literal["cuda", "rocm", "xpu", "mps", "cpu"]
LOOK = "backprop"
RESTARTS = 3
"""How often the worker is started again after a crash, for the cases that are left."""
_LAYERS = ("lesson", "exact", "precision", "random", "found", "load")
_KEPT = 4096
_LEAST = 0.5
"""Seconds without which no measurement is begun."""


class Measured(Plain, frozen=True):
    """A run, the truths that were worked out beside it, and what ended it."""

    run: Run
    book: Book
    last: WorkerResult


def measure(
    system: System, python: str, ask: Ask, until: float, watch: Callable[[Worker], None] = lambda _: None
) -> Measured:
    """Run the worker with `python` until the instant `until` (of `time.monotonic`).

    `watch` is called with each worker once it is started. After a crash in a case the worker is started again
    without it.
    """
    book = Book(ask.exact, ask.large, ask.pool)
    program, beside = script()
    env = child_environment(system.environ)
    values: dict[str, Any] = {}
    errors: dict[str, dict[str, str]] = {}
    crashes: list[str] = []
    while True:
        rest = msgspec.structs.replace(ask, skip=_over(values, errors, crashes))
        worker = Worker([python, "-B"], program, msgspec.to_builtins(rest), env, system.cwd(), beside)
        watch(worker)
        book.prepare((*ask.dtypes, "float64"))
        result = worker.finish(until)
        values, errors = values | result.values, errors | result.errors
        again = _crashed_case(result)
        if again is None:
            break
        crashes.append(again)
        if len(crashes) > RESTARTS:
            break
    run = Run(
        envcheck=__version__,
        taken_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        python=python,
        ask=ask,
        state=result.state,
        stage=result.stage,
        signal=result.signal,
        returncode=result.returncode,
        detail=result.detail,
        crashes=tuple(crashes),
        values=values,
        errors=errors,
    )
    return Measured(run, book, result)


def _over(values: Mapping[str, Any], errors: Mapping[str, Any], crashes: list[str]) -> tuple[str, ...]:
    """The cases that a worker that is started again leaves out: finished ones, and those that it died in."""
    return (*(step for step in (*values, *errors) if _is_case(step)), *crashes)


def _is_case(step: str) -> bool:
    words = step.split("/")
    return len(words) > 1 and (words[1] in _LAYERS or words[0] == "reference")


def _crashed_case(result: WorkerResult) -> str | None:
    if result.state != "crashed" or result.stage is None:
        return None
    stage = result.stage.partition("@")[0]
    return stage if _is_case(stage) else None


def facts_of(choice: Choice, run: Run, gradients: Gradients | None) -> Facts:
    """The facts that a run shows on its own: the interpreter, torch, and which devices compute right.

    Raises:
        msgspec.ValidationError: the run holds values of other types than a worker writes.
    """
    error = _import_error(run)
    torch = run.values.get("torch") or {}
    version = run.values.get("python") or {}
    absent = error.get("type") == "ModuleNotFoundError" and "'torch'" in error.get("text", "")
    facts = Facts(
        taken_by=f"envcheck {run.envcheck}",
        taken_at=run.taken_at,
        observations=(observation(run),),
        python=Python(
            path=choice.path,
            chosen_by=choice.chosen_by,
            version=version.get("version"),
            implementation=version.get("implementation"),
            candidates=choice.candidates,
            look=LOOK,
        ),
        torch=Torch(
            installed=True if torch else False if absent else None,
            file=torch.get("file"),
            version=torch.get("version"),
            cuda=torch.get("cuda"),
            hip=torch.get("hip"),
            imported=True if torch else False if error else None,
            error_type=error.get("type"),
            error_text=error["text"][:_KEPT] if "text" in error else None,
            error_traceback=error["traceback"][:_KEPT] if "traceback" in error else None,
            threads=torch.get("threads"),
            cpu_capability=torch.get("capability"),
            cpu_kernel_ok=next((_is_right(one) for one in _devices(gradients) if one.kind == "cpu"), None),
            devices=tuple(_torch_device(one) for one in _devices(gradients) if one.kind != "cpu"),
            look=LOOK,
        ),
    )
    return msgspec.convert(msgspec.to_builtins(facts), Facts)


def _devices(gradients: Gradients | None) -> tuple[GradientDevice, ...]:
    return () if gradients is None else gradients.devices


def _is_right(device: GradientDevice) -> bool | None:
    return None if device.verdict == "unknown" else device.verdict == "trusted"


def _torch_device(device: GradientDevice) -> TorchDevice:
    index = device.device.partition(":")[2]
    return TorchDevice(
        kind=msgspec.convert(device.kind, TorchDeviceKind),
        index=int(index) if index.isdecimal() else 0,
        name=device.name,
        uuid=device.uuid,
        compute_capability=device.compute_capability,
        kernel_ok=_is_right(device),
        kernel_error=device.kernel_error,
    )


def _import_error(run: Run) -> dict[str, str]:
    """What was raised when torch was imported, or first spoken to; empty when nothing was."""
    return run.errors.get("import") or run.errors.get("torch") or {}


def observation(run: Run, ms: float | None = None) -> Observation:
    """How the look ended: failed too where torch could not be imported."""
    error = _import_error(run)
    if error:
        text = (error.get("text", "").strip().splitlines() or [""])[0]
        detail = f"{error.get('type', 'error')}: {text}"[:400]
        return Observation(look=LOOK, state="failed", ms=ms, stage="import", detail=detail)
    if run.state == "crashed" and run.crashes:
        return Observation(look=LOOK, state="ok", ms=ms, detail=", ".join(run.crashes))
    return Observation(
        look=LOOK,
        state=run.state,
        ms=ms,
        stage=run.stage,
        signal=run.signal,
        returncode=run.returncode,
        detail=run.detail,
    )


def judged(run: Run, book: Book | None = None, *, source: str = "") -> Gradients | None:
    """The run judged (`source`: the file that it was read from); None when nothing was measured that could be."""
    return judge(run, book, source=source) if run.values.get("devices") else None


def with_gradients(system: System, facts: Facts, gradients: Gradients | None) -> Facts:
    """Facts and gradients together, redacted. Only cases that carry somebody's words pass the redaction."""
    from envcheck.probes.redact import redact, secrets_of

    if gradients is None:
        return redact(facts, secrets_of(system))
    spoken = [_reduced(device) for device in gradients.devices]
    short = msgspec.structs.replace(gradients, devices=tuple(spoken), epochs=())
    clean = redact(msgspec.structs.replace(facts, gradients=short), secrets_of(system))
    assert clean.gradients is not None
    devices = tuple(map(_restored, gradients.devices, clean.gradients.devices))
    whole = msgspec.structs.replace(clean.gradients, devices=devices, epochs=gradients.epochs)
    return msgspec.structs.replace(clean, gradients=whole)


def deepened(
    system: System, facts: Facts, python: str | None, until: float, watch: Callable[[Worker], None] = lambda _: None
) -> Facts:
    """The facts of a machine with the gradients of the same interpreter, measured before `until` (`time.monotonic`).

    Where torch is not imported, or no time is left, the look says that it was not made.
    """
    why = "torch is not imported" if facts.torch.imported is not True else "no time was left"
    if facts.torch.imported is not True or time.monotonic() + _LEAST > until:
        state: State = "timeout" if facts.torch.imported else "skipped"
        seen = Observation(look=LOOK, state=state, detail=why)
        return msgspec.structs.replace(facts, observations=(*facts.observations, seen))
    measured = measure(system, choose(system, python).path, make_ask(), until, watch)
    whole = msgspec.structs.replace(
        facts, observations=(*facts.observations, observation(measured.run, measured.last.ms))
    )
    return with_gradients(system, whole, judged(measured.run, measured.book))


def _reduced(device: GradientDevice) -> GradientDevice:
    return msgspec.structs.replace(device, cases=tuple(case for case in device.cases if case.text), precision=())


def _restored(device: GradientDevice, clean: GradientDevice) -> GradientDevice:
    spoken = iter(clean.cases)
    cases = tuple(next(spoken) if case.text else case for case in device.cases)
    return msgspec.structs.replace(clean, cases=cases, precision=device.precision)
