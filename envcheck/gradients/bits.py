"""The byte strings of a recorded run: unpacked, checked, and held against expected numbers."""

import zlib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from envcheck.gradients.exact import Pass, Tensor
from envcheck.gradients.formats import FORMATS, as_hex, pack, ulps, unpack
from envcheck.model.gradients import Parting

LONGEST = 64 << 20


def inflate(text: str) -> bytes:
    """Bytes that the worker encoded; raises ValueError when they are not."""
    try:
        return zlib.decompressobj().decompress(b64decode(text, validate=True), LONGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from error


def split(value: Mapping[str, Any]) -> list[bytes]:
    """The byte strings of a step."""
    data, parts, begin = inflate(value["data"]), [], 0
    for size in value["sizes"]:
        parts.append(data[begin : begin + size])
        begin += size
    if begin != len(data):
        raise ValueError(f"{len(data)} bytes where {begin} were announced")
    return parts


def place_of(index: int, shape: Sequence[int]) -> tuple[int, ...]:
    """The row-major `index` as one number for each axis."""
    place: list[int] = []
    for length in reversed(shape):
        index, at = divmod(index, length)
        place.append(at)
    return tuple(reversed(place))


def packed(expected: Pass, dtype: str) -> bytes:
    """The bytes of a pass that went right (where no number is a negative zero)."""
    return b"".join(pack(tensor.values, dtype) for tensor in expected.tensors)


def part(expected: Pass, raw: bytes, dtype: str, run: str) -> Parting | None:
    """The first number of `raw` that is not as expected; the sign of a zero does not count."""
    size, begin = FORMATS[dtype].size, 0
    for tensor in expected.tensors:
        end = begin + size * len(tensor.values)
        found = _part_of(tensor, raw[begin:end], dtype, run, may_be_nan=expected.may_be_nan)
        if found is not None:
            return found
        begin = end
    if begin != len(raw):
        return Parting(leg="out", run=run, expected=f"{begin // size} numbers", got=f"{len(raw) // size} numbers")
    return None


def _part_of(tensor: Tensor, raw: bytes, dtype: str, run: str, *, may_be_nan: bool) -> Parting | None:
    if len(raw) != FORMATS[dtype].size * len(tensor.values):
        numbers = (f"{count} numbers" for count in (len(tensor.values), len(raw) // FORMATS[dtype].size))
        return Parting(leg=tensor.name, run=run, expected=next(numbers), got=next(numbers))
    got = unpack(raw, dtype)
    wrong = [
        index
        for index, (true, value) in enumerate(zip(tensor.values, got, strict=True))
        if not (value == true or (value != value and (may_be_nan or true != true)))  # noqa: PLR0124 - NaN
    ]
    if not wrong:
        return None
    return parting(tensor, wrong, got, dtype, run)


def parting(tensor: Tensor, wrong: Sequence[int], got: Sequence[float], dtype: str, run: str) -> Parting:
    """How the first of the `wrong` numbers parted."""
    first = wrong[0]
    true, value = tensor.values[first], got[first]
    return Parting(
        leg=tensor.name,
        run=run,
        index=place_of(first, tensor.shape),
        expected=as_hex(true),
        got=as_hex(value),
        ulps=ulps(true, value, dtype),
        wrong=len(wrong),
        size=len(tensor.values),
    )
