"""Versions as tuples of numbers, for drivers, CUDA and compute capabilities (not for Python packages)."""

import re
from functools import lru_cache

from envcheck.model.patterns import regex

_NUMBERS = regex(r"\d+")


@lru_cache(maxsize=4096)
def numbers(version: str) -> tuple[int, ...]:
    """`"535.183.01"` -> `(535, 183, 1)`; text after the first space or `+` or `-` does not count."""
    head = re.split(r"[ +-]", version.strip(), maxsplit=1)[0]
    return tuple(int(part[:9]) for part in _NUMBERS.findall(head)[:6])


def minor(version: str) -> str:
    """The first two numbers of a version: `3.12` of `3.12.4`, `12.4` of `12.4.131`."""
    return ".".join(str(part) for part in numbers(version)[:2])


def at_least(version: str, minimum: str) -> bool:
    """Whether `version` is `minimum` or newer, missing parts counting as 0 (`580` is `580.0`)."""
    have, need = numbers(version), numbers(minimum)
    width = max(len(have), len(need))
    return have + (0,) * (width - len(have)) >= need + (0,) * (width - len(need))


def same_release(version: str, other: str) -> bool:
    """Whether the numeric parts agree as far as the shorter goes (`550.54` and `550.54.15`)."""
    have, other_have = numbers(version), numbers(other)
    width = min(len(have), len(other_have))
    return width > 0 and have[:width] == other_have[:width]


def cuda_of_int(version: int) -> str:
    """The CUDA driver API's integer, `12020`, as `"12.2"` (1000 * major + 10 * minor)."""
    return f"{version // 1000}.{version % 1000 // 10}"


def capability(text: str) -> tuple[int, int] | None:
    """A compute capability from `"8.6"`, `"sm_86"`, `"compute_90"`, `"sm_90a"` or `"86"`; None when it is none."""
    match = re.fullmatch(r"(?:sm_|compute_)?(\d{1,2})\.(\d)[a-z]?|(?:sm_|compute_)?(\d{1,2})(\d)[a-z]?", text.strip())
    if match is None:
        return None
    major, minor = (match[1], match[2]) if match[1] else (match[3], match[4])
    return int(major), int(minor)
