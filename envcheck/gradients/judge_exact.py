"""Judge the exact layer: every pass of every case must give the integers, bit for bit."""

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any

from envcheck.gradients.bits import inflate, packed, part, split
from envcheck.gradients.exact import Pass, Tensor, Truth
from envcheck.gradients.failures import failed
from envcheck.gradients.formats import FORMATS, unpack
from envcheck.gradients.limits import INEXACT
from envcheck.gradients.recipe import Case
from envcheck.model.gradients import GradientCase, Parting
from envcheck.model.partings import number

SAME = {"again": "first", "strided": "first"}
"""Passes that must give what another one gives."""


class Book:
    """The truths of all cases, worked out once."""

    def __init__(self, cases: Sequence[Case], large: Sequence[Case], pool: Sequence[int]) -> None:
        self._cases = {case.name: case for case in cases}
        self._large = {case.name: case for case in large}
        self._pool = pool
        self._truths: dict[tuple[str, bool], Truth] = {}
        self._passes: dict[tuple[str, str], Pass] = {}
        self._packed: dict[tuple[str, str, str], bytes] = {}

    def prepare(self, dtypes: Sequence[str]) -> None:
        """Work everything out now, while the worker is busy."""
        for case in self._cases.values():
            leaves = [operand.name for operand in case.operands if operand.kind == "leaf"]
            frozen = [f"frozen:{leaf}" for leaf in leaves] if len(leaves) > 1 else []
            runs = ["first", "second", "expanded", "nan", *frozen] if leaves else ["first"]
            for run in runs:
                for dtype in dtypes:
                    self.bytes_of(case.name, run, dtype)
        for name in self._large:
            self.truth(name, large=True)

    def truth(self, name: str, *, large: bool = False) -> Truth:
        """The truth about a case."""
        key = (name, large)
        if key not in self._truths:
            self._truths[key] = Truth((self._large if large else self._cases)[name], self._pool)
        return self._truths[key]

    def pass_of(self, name: str, run: str) -> Pass:
        """What a pass of a case must give."""
        key = (name, SAME.get(run, run))
        if key not in self._passes:
            self._passes[key] = self.truth(name).run(key[1])
        return self._passes[key]

    def bytes_of(self, name: str, run: str, dtype: str) -> bytes:
        """The same as bytes."""
        key = (name, SAME.get(run, run), dtype)
        if key not in self._packed:
            self._packed[key] = packed(self.pass_of(name, run), dtype)
        return self._packed[key]


def judge_exact(book: Book, name: str, dtype: str, value: Mapping[str, Any], *, inexact_allowed: bool) -> GradientCase:
    """The case `name` in `dtype`, from what its step measured."""
    errors = value.get("errors", {})
    if "first" in errors:
        return failed("exact", name, dtype, errors["first"])
    parts = split(value)
    for run, place in value["runs"].items():
        raw = parts[place]
        if raw != book.bytes_of(name, run, dtype):
            expected = book.pass_of(name, run)
            found = part(expected, raw, dtype, run)
            if found is not None:
                near = inexact_allowed and _near(expected, raw, dtype)
                return _case(name, dtype, "inexact" if near else "wrong", found)
    if "large" in value:
        found = _part_large(book.truth(name, large=True), value["large"])
        if found is not None:
            return _case(name, dtype, "inexact" if inexact_allowed and _nearly(found) else "wrong", found)
    if errors:
        run, error = next(iter(errors.items()))
        return failed("exact", name, dtype, error, run=run)
    again = value["runs"].get("again")
    return GradientCase(
        layer="exact", op=name, dtype=dtype, outcome="ok", repeatable=again is None or again == value["runs"]["first"]
    )


def _case(name: str, dtype: str, outcome: Any, found: Parting) -> GradientCase:
    return GradientCase(layer="exact", op=name, dtype=dtype, outcome=outcome, parting=found)


def _near(expected: Pass, raw: bytes, dtype: str) -> bool:
    """Whether every number is its integer but for a small fraction: the mark of Winograd and FFT convolutions."""
    true = [value for tensor in expected.tensors for value in tensor.values]
    got = unpack(raw, dtype)
    return len(true) == len(got) and all(
        abs(value - integer) <= INEXACT or isnan(integer) for integer, value in zip(true, got, strict=True)
    )


def _nearly(found: Parting) -> bool:
    """The same of the number that parted first, within float32's own reach where it is a long sum."""
    true, value = number(found.expected), number(found.got)
    return true is not None and value is not None and abs(value - true) <= INEXACT + abs(true) * 2.0**-18


def _part_large(truth: Truth, found: Mapping[str, Any]) -> Parting | None:
    """How the large batch parted: its repeated rows, a row that does not repeat, or a sum over the batch."""
    for name, (tensor, repeats) in truth.large().items():
        seen = found.get(name)
        if seen is None:
            return Parting(leg=name, run="large", expected="numbers", got="none")
        check: Callable[..., Parting | None] = _part_rows if repeats else _part_whole
        parted = check(tensor, seen, truth.case.rows)
        if parted is not None:
            return parted
    return None


def _part_whole(tensor: Tensor, seen: Mapping[str, Any], _: int) -> Parting | None:
    return part(Pass((tensor,)), inflate(seen["whole"]), "float32", "large")


def _part_rows(tensor: Tensor, seen: Mapping[str, Any], rows: int) -> Parting | None:
    head = part(Pass((tensor,)), inflate(seen["head"]), "float32", "large")
    if head is not None or not seen["odd"]:
        return head
    width = len(tensor.values) // tensor.shape[0]
    size = FORMATS["float32"].size * width
    raw, found = inflate(seen["values"]), None
    for order, row in enumerate(seen["at"]):
        begin = row % tensor.shape[0] * width
        expected = Tensor(tensor.name, tensor.shape[1:], tensor.values[begin : begin + width])
        found = part(Pass((expected,)), raw[order * size : order * size + size], "float32", "large")
        if found is not None:
            from msgspec import structs

            return structs.replace(found, index=(row, *found.index), wrong=seen["odd"] * found.wrong, size=rows * width)
    return found
