"""How wrong a result is, in units that are the same for every operation.

The error of a number is divided by the roundoff u of its dtype times S, where

    S = |r| + d + rms(r) / 2

r is the float64 reference, rms(r) the root mean square of its tensor, and d how far r moves when every input (the
upstream gradient too) moves by a relative 2**-20: the root mean square over four draws of the signs, per unit of that
change. What rounding alone can do is a small multiple of u * S, whatever the condition of the computation.

The slope is the systematic part: |sum((g - r) * r)| over the root of sum((u * S * r)**2), its standard deviation if
every number were off by one independent u * S. A scale error of 1 + e adds e * r to each number and shows here long
before any single number is out of its bounds.
"""

from collections.abc import Sequence
from math import inf, isfinite, sqrt

from envcheck.model.base import Plain


class Deviation(Plain, frozen=True):
    """How far one tensor is from its reference: the worst number, where it is, and the systematic part."""

    error: float
    place: int
    slope: float


def deviation(
    got: Sequence[float], reference: Sequence[float], spread: Sequence[float], roundoff: float, smallest: float
) -> Deviation:
    """The deviation of `got`; `smallest` is the dtype's smallest subnormal, which bounds any error from below."""
    half_rms = sqrt(sum(value * value for value in reference) / max(1, len(reference))) / 2
    worst, place = 0.0, 0
    systematic = variance = 0.0
    for index, (value, true, moves) in enumerate(zip(got, reference, spread, strict=True)):
        bound = roundoff * (abs(true) + moves + half_rms) + smallest
        off = value - true
        if not isfinite(off):
            return Deviation(inf, index, inf)
        systematic += off * true
        variance += (bound * true) ** 2
        if abs(off) > worst * bound:
            worst, place = abs(off) / bound, index
    return Deviation(worst, place, abs(systematic) / sqrt(variance) if variance else 0.0)
