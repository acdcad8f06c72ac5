"""The back-propagation worker inside the test's own process, so that faults can be put into its torch."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from envcheck.gradients.ask import Ask, make_ask
from envcheck.gradients.judge import judge
from envcheck.gradients.judge_exact import Book
from envcheck.gradients.record import Run
from envcheck.model.gradients import Gradients

WORKERS = Path(__file__).resolve().parents[2] / "envcheck" / "workers"


@cache
def worker() -> ModuleType:
    """The worker's main module; its siblings are importable while it is imported."""
    sys.path.insert(0, str(WORKERS))
    try:
        import backprop  # type: ignore[import-not-found] # a script, found through the path
    finally:
        sys.path.remove(str(WORKERS))
    return backprop  # type: ignore[no-any-return]


def ask_of(exact: Sequence[str] | None = None, *, seed: int = 0, large: bool = False, **more: Any) -> Ask:
    """A question about these exact cases (all: None), with their large batches if wanted, without load."""
    whole = make_ask(seed=seed, seconds=0.0, **more)
    chosen = whole.exact if exact is None else tuple(case for case in whole.exact if case.name in exact)
    batches = tuple(case for case in whole.large if large and any(case.name == one.name for one in chosen))
    return msgspec.structs.replace(whole, exact=chosen, large=batches)


class Recorder:
    """Stands in for the worker's reporter: values and errors by step, in memory."""

    def __init__(self, skip: Sequence[str] = ()) -> None:
        self.values: dict[str, Any] = {}
        self.errors: dict[str, dict[str, str]] = {}
        self._skip = skip

    def step(self, name: str, function: Any, *args: Any) -> Any:
        if any(name.startswith(prefix) for prefix in self._skip):
            return None
        from backprop_kit import describe  # type: ignore[import-not-found] # loaded with the worker

        try:
            self.values[name] = function(*args)
        except Exception as error:  # noqa: BLE001 - like the worker's own
            self.errors[name] = describe(error)
            return None
        return self.values[name]

    def note(self, name: str, value: Any) -> None:
        self.values[name] = value

    def write(self, **event: Any) -> None:
        pass


def measure(ask: Ask, ops: Sequence[str] | None = None, *, skip: Sequence[str] = (), threads: int = 1) -> Run:
    """Measure in this process: the exact cases of `ask`, and of the random layer `ops` (all: None)."""
    import torch

    module, recorder = worker(), Recorder(skip)
    found = torch.get_num_threads()
    kept = dict(module.RANDOM)
    try:
        if ops is not None:
            for name in set(kept) - set(ops):
                del module.RANDOM[name]
        recorder.step("torch", module.about, torch)
        recorder.step("switches", module.switches, torch)
        module.Session(torch, json.loads(msgspec.json.encode(ask)), recorder, threads).run()
    finally:
        module.RANDOM.clear()
        module.RANDOM.update(kept)
        torch.set_num_threads(found)
    return Run(envcheck="test", ask=ask, state="ok", values=recorder.values, errors=recorder.errors)


@contextlib.contextmanager
def mkldnn_set(on: bool) -> Iterator[None]:
    """oneDNN on or off (torch.backends.mkldnn.flags would switch TF32 as well)."""
    import torch

    found = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(on)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(found)


@cache
def _book(ask: bytes) -> Book:
    made = msgspec.json.decode(ask, type=Ask)
    return Book(made.exact, made.large, made.pool)


def gradients_of(run: Run) -> Gradients:
    """The run judged; truths are worked out once for equal questions."""
    return judge(run, _book(msgspec.json.encode(run.ask)))
