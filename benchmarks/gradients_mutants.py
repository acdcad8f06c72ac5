"""Faulty back-propagations: who notices, of verify-backprop's layers, torch.testing.assert_close and gradcheck.

All are given the same faults, let loose on the same kernels, and the same number of calls of them. assert_close is
given the very results that verify-backprop is given, and the same truths; it is not counted where it complains about
a sound torch too.
"""

import math
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.result import Result, Row, result
from envcheck.gradients.bits import split
from envcheck.gradients.formats import unpack
from envcheck.gradients.judge_exact import Book
from envcheck.gradients.judge_random import reference_legs
from envcheck.gradients.record import Run
from envcheck.model.gradients import GradientCase, GradientDevice

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

CASES = (
    "matmul",
    "matvec",
    "bmm",
    "linear",
    "conv2d",
    "conv2d_stride2",
    "embedding",
    "embedding_padding",
    "relu",
    "max_pool2d",
    "max_pool2d_overlapping",
    "chain",
    "square",
    "multiply_broadcast",
    "add_broadcast",
    "sum_rows",
    "two_layers",
)
TOLERANCES = {"float64": (1e-7, 1e-7), "float32": (1.3e-6, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float16": (1e-3, 1e-5)}
"""assert_close's defaults, relative and absolute (torch/testing/_comparison.py, 2.13)."""
CLEAN_ELEMENT = {"float32": 11.3, "bfloat16": 6.2, "float16": 5.7}
"""The largest error of one number in any of the sound runs on which the limits were chosen."""
CLEAN_SLOPE = {"float32": 7.7, "bfloat16": 3.5, "float16": 3.1}
"""The largest systematic part in any of them."""
COLUMNS = ("exact", "probe", "error", "slope", "verify-backprop", "assert_close", "gradcheck")


class Seen(NamedTuple):
    """Who noticed a fault in one host's kernels, and whether it changed anything, and more than rounding does."""

    changed: bool
    beyond_rounding: bool
    by: dict[str, bool]


def run() -> Result:
    """Every fault in every host's kernels."""
    import torch
    from helpers.mutants import FAULTS, HOSTS

    warnings.simplefilter("ignore")
    bench = Bench()
    table: dict[str, list[Seen]] = {}
    for fault in FAULTS:
        for host in HOSTS:
            if fault.hosts is None or host in fault.hosts:
                seen = bench.look(fault, host)
                if seen.changed:
                    table.setdefault(fault.name, []).append(seen)
    rows = [Row(name=name, figures=_figures(all_seen)) for name, all_seen in table.items()]
    every = [seen for all_seen in table.values() for seen in all_seen]
    rows.append(Row(name="all", figures=_figures(every)))
    return result(
        "gradients: faults", rows, versions={"torch": str(torch.__version__)}, notes=_notes(table, every, bench)
    )


def _figures(seen: Iterable[Seen]) -> dict[str, float | int | str]:
    found = list(seen)
    counts: dict[str, float | int | str] = {"hosts": len(found)}
    counts["beyond rounding"] = sum(one.beyond_rounding for one in found)
    return counts | {column: sum(one.by[column] for one in found) for column in COLUMNS}


def _notes(table: dict[str, list[Seen]], every: list[Seen], bench: "Bench") -> list[str]:
    beyond = [one for one in every if one.beyond_rounding]
    missed = [name for name, all_seen in table.items() if any(_missed(one) for one in all_seen)]
    shares = (
        f"{column}: {sum(one.by[column] for one in beyond) / len(beyond):.1%}"
        for column in ("verify-backprop", "assert_close", "gradcheck")
    )
    counted = (
        f"{len(table)} faults in up to {max(map(len, table.values()))} hosts; {len(every)} pairs changed a result, "
        f"{len(beyond)} of them by more than rounding (beyond the largest deviation of any sound run)"
    )
    return [
        counted,
        f"noticed of those: {', '.join(shares)}",
        f"missed by verify-backprop though beyond rounding: {', '.join(missed) or 'none'}",
        f"assert_close's defaults complain about a sound torch in: {', '.join(sorted(bench.baseline)) or 'nothing'}",
    ]


def _missed(one: Seen) -> bool:
    return one.beyond_rounding and not one.by["verify-backprop"]


class Bench:
    """One question, its truths and references, and what assert_close says of a sound torch."""

    def __init__(self) -> None:
        from helpers.backprop import ask_of

        self.ask = ask_of(CASES, large=True)
        self.book = Book(self.ask.exact, self.ask.large, self.ask.pool)
        sound = self._measure(nullcontext(), {})
        self.references = {step: value for step, value in sound.values.items() if step.startswith("reference/")}
        self.baseline = complaints(sound, self.book)
        clean = self._judged(sound)
        assert clean.verdict == "trusted", clean.parted

    def _measure(self, fault: AbstractContextManager[object], references: dict[str, Any]) -> Run:
        from helpers.backprop import measure

        skip = ["cpu/lesson", *(["reference"] if references else [])]
        with fault:
            found = measure(self.ask, skip=skip)
        return msgspec.structs.replace(found, values={**references, **found.values})

    def _judged(self, found: Run) -> GradientDevice:
        from envcheck.gradients.judge import judge

        return judge(found, self.book).devices[0]

    def look(self, fault: Any, host: str) -> Seen:
        """Let the fault loose on that host's kernels, for every method."""
        from helpers.mutants import Injector

        injector = Injector(fault, host)
        found = self._measure(injector, self.references)
        device = self._judged(found)
        by = _layers(device)
        by["assert_close"] = bool(complaints(found, self.book) - self.baseline)
        by["gradcheck"] = noticed_by_gradcheck(fault, host, sum(injector.calls.values()))
        return Seen(injector.changed > 0, _beyond(device), by)


def _layers(device: GradientDevice) -> dict[str, bool]:
    random = [case for case in device.of("random") if case.error]
    bad = [case for case in device.cases if case.outcome == "failed"]
    by = {
        "exact": any(case.outcome == "wrong" for case in device.of("exact")),
        "probe": any(one.short or one.subnormals is False for one in device.precision),
        "error": any(_over(case.error, case.limit) for case in random),
        "slope": any(_over(case.slope, case.slope_limit) for case in random),
    }
    return by | {"verify-backprop": any(by.values()) or bool(bad)}


def _over(value: str | None, limit: str | None) -> bool:
    return float.fromhex(value or "0") > float.fromhex(limit or "inf")


def _beyond(device: GradientDevice) -> bool:
    """Whether a number is wrong by more than in any sound run."""

    def far(case: GradientCase) -> bool:
        error, slope = float.fromhex(case.error or "0"), float.fromhex(case.slope or "0")
        return error > CLEAN_ELEMENT[case.dtype] or slope > CLEAN_SLOPE[case.dtype]

    exact = any(case.outcome in ("wrong", "failed") for case in device.of("exact"))
    probed = any(one.short or one.subnormals is False for one in device.precision)
    return exact or probed or any(far(case) for case in device.of("random"))


# assert_close ---------------------------------------------------------------------------------------------------------


def complaints(found: Run, book: Book) -> set[str]:
    """The cases about which assert_close with its default tolerances complains."""
    steps: dict[str, set[str]] = {}
    for step, value in found.values.items():
        words = step.split("/")
        if words[0] == "cpu" and words[1] == "exact" and not all(_exact_close(book, words[2], words[3], value)):
            steps.setdefault(words[2], set()).add(words[3])
        if words[0] == "cpu" and words[1] == "random" and not all(_random_close(found, *words[2:5], value)):
            steps.setdefault(f"random {words[2]}", set()).add(words[3])
    failed = {step.split("/")[2] for step in found.errors if step.startswith("cpu/exact/")}
    return {f"{op} {dtype}" for op, dtypes in steps.items() for dtype in dtypes} | failed


def _exact_close(book: Book, op: str, dtype: str, value: dict[str, Any]) -> Iterable[bool]:
    if "errors" in value:
        yield False
    parts = split(value)
    for name, place in value["runs"].items():
        expected = book.pass_of(op, name)
        true = [number for tensor in expected.tensors for number in tensor.values]
        yield _close(unpack(parts[place], dtype), true, dtype, spread=expected.may_be_nan)
    for tensor in value.get("large", {}).values():
        yield not tensor.get("odd")


def _random_close(found: Run, op: str, dtype: str, seed: str, value: dict[str, Any]) -> Iterable[bool]:
    width = "float32" if dtype == "float32" else "narrow"
    legs = reference_legs(
        found.values[f"reference/{op}/{width}/{seed}"], found.values[f"reference/{op}/float32/{seed}"]
    )
    true = [number for leg in legs for number in leg.exact]
    parts = split(value)
    for place in set(value["runs"]):
        yield _close(unpack(parts[place], dtype), true, dtype)


def _close(got: Iterable[float], true: Iterable[float], dtype: str, *, spread: bool = False) -> bool:
    """assert_close with equal_nan; `spread`: a NaN more is no complaint, as it is none for verify-backprop."""
    relative, absolute = TOLERANCES[dtype]
    for value, expected in zip(got, true, strict=True):
        if math.isnan(value) and (math.isnan(expected) or spread):
            continue
        if not abs(value - expected) <= absolute + relative * abs(expected):
            return False
    return True


# gradcheck ------------------------------------------------------------------------------------------------------------


@cache
def _checked() -> dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]]:
    """For each host a function of float64 leaves whose backward pass uses its kernels."""
    import torch

    functional = torch.nn.functional
    index = torch.tensor([0, 2, 1, 2])
    return {
        "products": (functional.linear, ((3, 5), (4, 5))),
        "conv2d": (lambda x, w, b: functional.conv2d(x, w, b, padding=1), ((1, 2, 4, 4), (2, 2, 3, 3), (2,))),
        "attention": (functional.scaled_dot_product_attention, ((1, 1, 4, 3), (1, 1, 4, 3), (1, 1, 4, 3))),
        "layer_norm": (lambda x, w, b: functional.layer_norm(x, (5,), w, b), ((3, 5), (5,), (5,))),
        "batch_norm": (lambda x, w, b: functional.batch_norm(x, None, None, w, b, True), ((4, 3), (3,), (3,))),
        "gelu": (functional.gelu, ((3, 5),)),
        "embedding": (lambda w: functional.embedding(index, w), ((3, 4),)),
        "relu": (torch.relu, ((3, 5),)),
        "max_pool": (lambda x: functional.max_pool2d(x, 2), ((1, 2, 4, 4),)),
        "sums": (lambda x, b: x + b, ((3, 5), (5,))),
        "multiplication": (lambda x, y: x * y, ((3, 5), (3, 5))),
    }


def noticed_by_gradcheck(fault: Any, host: str, calls: int) -> bool:
    """Whether gradcheck fails before it has made as many calls of the host's kernels; the fault is in float64 too."""
    import torch
    from helpers.mutants import Injector

    if torch.float32 not in fault.dtypes:
        return False
    function, shapes = _checked()[host]
    generator = torch.Generator().manual_seed(0)
    injector = Injector(fault._replace(dtypes=(torch.float64,)), host)
    with injector:
        for _ in range(50):
            leaves = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
            inputs = [leaf.requires_grad_() for leaf in leaves]
            if not torch.autograd.gradcheck(function, inputs, raise_exception=False):
                return True
            if sum(injector.calls.values()) >= calls:
                break
    return False
