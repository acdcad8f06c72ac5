"""Floating-point formats in pure Python: bytes to numbers and back, distances in units in the last place."""

import struct
import sys
from collections.abc import Sequence

from envcheck.model.base import Plain


class Format(Plain, frozen=True):
    """A binary format. `precision` counts the leading bit: the unit roundoff is 2**-precision."""

    name: str
    size: int
    precision: int
    smallest: float
    """The smallest subnormal number."""
    code: str
    """The struct letter of a format that holds its values exactly, or of itself."""

    @property
    def roundoff(self) -> float:
        """The largest relative error of one rounding."""
        return 2.0**-self.precision


FORMATS = {
    "float64": Format("float64", 8, 53, 2.0**-1074, "d"),
    "float32": Format("float32", 4, 24, 2.0**-149, "f"),
    "bfloat16": Format("bfloat16", 2, 8, 2.0**-133, "f"),
    "float16": Format("float16", 2, 11, 2.0**-24, "e"),
}
TF32_PRECISION = 11


def pack(values: Sequence[float], dtype: str) -> bytes:
    """Little-endian bytes of numbers that `dtype` can hold (bfloat16 drops the low half of float32)."""
    form = FORMATS[dtype]
    raw = struct.pack(f"<{len(values)}{form.code}", *values)
    if dtype != "bfloat16":
        return raw
    out = bytearray(2 * len(values))
    out[0::2], out[1::2] = raw[2::4], raw[3::4]
    return bytes(out)


def unpack(raw: bytes, dtype: str) -> tuple[float, ...]:
    """The numbers in little-endian `raw`; raises ValueError when its length is not that of whole elements."""
    form = FORMATS[dtype]
    if len(raw) % form.size:
        raise ValueError(f"{len(raw)} bytes are no whole number of {dtype}")
    count = len(raw) // form.size
    if dtype == "bfloat16":
        wide = bytearray(4 * count)
        wide[2::4], wide[3::4] = raw[0::2], raw[1::2]
        raw = bytes(wide)
    return struct.unpack(f"<{count}{form.code}", raw)


def round_to(value: float, dtype: str) -> float:
    """`value` rounded to float32 (ties to even; inf where it overflows) or left as it is for float64."""
    if dtype == "float64":
        return value
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def ulps(first: float, second: float, dtype: str) -> int | None:
    """How many representable numbers lie from one to the other; None when one of them is not a number."""
    if first != first or second != second:  # noqa: PLR0124 - the definition of NaN
        return None
    return abs(_rank(first, dtype) - _rank(second, dtype))


def _rank(value: float, dtype: str) -> int:
    """The place of `value` on the ordered line of the format's numbers; both zeros stand at 0."""
    raw = pack((value,), dtype)
    number = int.from_bytes(raw, "little")
    sign = 1 << (8 * len(raw) - 1)
    return -(number - sign) if number & sign else number


def as_hex(value: float) -> str:
    """`float.hex`, which keeps every bit, `nan` and `inf`."""
    return float(value).hex()


assert sys.float_info.mant_dig == 53
