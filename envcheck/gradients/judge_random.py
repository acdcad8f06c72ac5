"""Judge the random layer: results against the float64 reference, and that reference against its own derivative."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from envcheck.gradients.bits import inflate, place_of, split
from envcheck.gradients.formats import FORMATS, as_hex, ulps, unpack
from envcheck.gradients.limits import ELEMENT, REFERENCE, SLOPE
from envcheck.gradients.measure import Deviation, deviation
from envcheck.model.base import Plain
from envcheck.model.gradients import GradientCase, Parting, TrueReference


class Leg(Plain, frozen=True):
    """One tensor of the reference."""

    name: str
    shape: tuple[int, ...]
    exact: tuple[float, ...]
    spread: tuple[float, ...]


def reference_legs(value: Mapping[str, Any], spread: Mapping[str, Any]) -> list[Leg]:
    """The reference of one operation; the condition is measured once, on float32's numbers, for every dtype."""
    exact = unpack(inflate(value["exact"]), "float64")
    moves = unpack(inflate(spread["spread"]), "float32")
    legs, begin = [], 0
    for name, shape in zip(value["legs"], value["shapes"], strict=True):
        size = 1
        for length in shape:
            size *= length
        end = begin + size
        legs.append(Leg(name, tuple(shape), exact[begin:end], moves[begin:end]))
        begin = end
    if begin != len(exact) or begin != len(moves):
        raise ValueError(f"{len(exact)} and {len(moves)} numbers where {begin} were announced")
    return legs


def judge_reference(op: str, slope: Mapping[str, str]) -> TrueReference:
    """Whether the gradients of the reference agree with its numeric derivative along a direction."""
    analytic, numeric, size = (float.fromhex(slope[key]) for key in ("analytic", "numeric", "size"))
    error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), size * 2.0**-10, 2.0**-1000)
    return TrueReference(
        op=op, analytic=slope["analytic"], numeric=slope["numeric"], error=as_hex(error), ok=error <= REFERENCE
    )


def judge_random(
    op: str, dtype: str, seed: int, value: Mapping[str, Any], legs: Sequence[Leg], precision: int | None = None
) -> GradientCase:
    """The case `op` in `dtype`; `precision` stands in for the dtype's own where TF32 was switched on."""
    parts = split(value)
    # Every time it was run counts: a wrong second time would otherwise only be called not repeatable.
    found = [each for place in set(value["runs"]) for each in _deviations(parts[place], dtype, legs, precision)]
    worst = max(found, key=lambda each: each[0].error)
    steepest = max(found, key=lambda each: each[0].slope)
    too_far, too_steep = worst[0].error > ELEMENT[dtype], steepest[0].slope > SLOPE[dtype]
    return GradientCase(
        layer="random",
        op=op,
        dtype=dtype,
        outcome="wrong" if too_far or too_steep else "ok",
        parting=_parting(*(worst if too_far else steepest), dtype) if too_far or too_steep else None,
        error=as_hex(worst[0].error),
        error_leg=worst[1].name,
        limit=as_hex(ELEMENT[dtype]),
        slope=as_hex(steepest[0].slope),
        slope_leg=steepest[1].name,
        slope_limit=as_hex(SLOPE[dtype]),
        seed=seed,
        repeatable=len(set(value["runs"])) == 1,
    )


def _deviations(
    raw: bytes, dtype: str, legs: Sequence[Leg], precision: int | None
) -> Iterator[tuple[Deviation, Leg, Sequence[float]]]:
    """How far each leg of one run is from its reference."""
    form, got = FORMATS[dtype], unpack(raw, dtype)
    roundoff = form.roundoff if precision is None else 2.0**-precision
    if len(got) != sum(len(leg.exact) for leg in legs):
        raise ValueError(f"{len(got)} numbers in {dtype}")
    begin = 0
    for leg in legs:
        numbers = got[begin : begin + len(leg.exact)]
        begin += len(leg.exact)
        yield deviation(numbers, leg.exact, leg.spread, roundoff, form.smallest), leg, numbers


def _parting(off: Deviation, leg: Leg, numbers: Sequence[float], dtype: str) -> Parting:
    """The worst number of a leg beside its reference, rounded to the dtype for the distance."""
    true, value = leg.exact[off.place], numbers[off.place]
    return Parting(
        leg=leg.name,
        index=place_of(off.place, leg.shape),
        expected=as_hex(true),
        got=as_hex(value),
        ulps=ulps(true, value, dtype),
        size=len(numbers),
    )
