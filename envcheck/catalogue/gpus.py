"""GPUs by name: the compute capability of NVIDIA's, the ROCm target of AMD's."""

import re

from envcheck.model.base import Value
from envcheck.model.patterns import regex


class Gpus(Value, frozen=True, kw_only=True):
    """`data/gpus.toml`: capability -> names of products, and words of a name that do not decide it."""

    source: str
    date: str
    capability: dict[str, tuple[str, ...]]
    ambiguous: tuple[str, ...] = ()
    """Names sold with chips of different generations."""
    first_cuda: dict[str, str] = {}
    """capability -> the first CUDA toolkit that knows it."""
    oldest_served: str
    """The least capability that official builds ever had kernels for."""
    arm: tuple[str, ...] = ()
    """Names that sit beside an Arm processor only."""
    amd: dict[str, tuple[str, ...]] = {}
    """The ROCm target (`gfx1100`) -> names of AMD products."""


_CONFUSED = {"gtx": "rtx", "rtx": "gtx"}
"""Families that share no number, so that either is understood."""
_BRANDS = frozenset({"nvidia", "geforce", "quadro", "tesla", "grid", "graphics", "gpu", "amd", "radeon"})
_GLUED = regex(r"\b(rtx|gtx|gt)(?=\d)|(?<=\d)(?=(?:ti|super)\b)")
_NOISE = regex(r"\((?:r|tm)\)|[®™]|\b\d+ ?[gm]i?b\b|\b(?:max-q|with|design|laptop|mobile|gpu|dedicated)\b|\bd\b$")


Index = dict[tuple[str, ...], str]
"""Words of a product's name -> its capability, or "" where the name is ambiguous."""


def index(table: Gpus) -> Index:
    """The table, ready for look-ups."""
    known = {_words(name): text for text, names in table.capability.items() for name in names}
    return known | {_words(name): "" for name in table.ambiguous}


def names(table: Gpus) -> tuple[str, ...]:
    """Every product of the table."""
    return tuple(name for row in table.capability.values() for name in row)


def capability_of(known: Index, name: str) -> str | None:
    """The capability of the product that `name` begins with; the longest product name wins.

    Drivers write `NVIDIA A100-SXM4-80GB`, `Tesla V100-PCIE-16GB`, `NVIDIA GeForce RTX 3060 Laptop GPU`;
    people write `rtx3060`, and `GTX` for `RTX`.
    """
    words = _words(name)
    found = _longest(known, words)
    if found is None:
        found = _longest(known, tuple(_CONFUSED.get(word, word) for word in words))
    return found or None


def target_of(table: Gpus, name: str) -> str | None:
    """The ROCm target of the AMD product that `name` begins with, `gfx1032`; None when it is not known."""
    return _longest({_words(one): target for target, names in table.amd.items() for one in names}, _words(name)) or None


def _longest(known: Index, words: tuple[str, ...]) -> str | None:
    """The entry of the longest product name at the beginning; "" where it is ambiguous."""
    for count in range(len(words), 0, -1):
        for start in _starts(words):
            found = known.get(words[start : start + count])
            if found is not None:
                return found
    return None


def beside_arm(table: Gpus, name: str | None, capability: str | None) -> bool:
    """Whether the product, or every product of its capability, sits beside an Arm processor."""
    arm = {_words(one) for one in table.arm}
    words = _words(name or "")
    if any(words[start : start + count] in arm for start in _starts(words) for count in range(1, len(words) + 1)):
        return True
    row = table.capability.get(capability or "", ())
    return bool(row) and all(_words(one) in arm for one in row)


def _starts(words: tuple[str, ...]) -> tuple[int, ...]:
    """Where a product's name may begin: at the first word, or after each leading brand word."""
    starts = [0]
    for position, word in enumerate(words):
        if word not in _BRANDS:
            break
        starts.append(position + 1)
    return tuple(starts)


def _words(name: str) -> tuple[str, ...]:
    plain = _NOISE.sub(" ", name.strip().lower()[:200])
    return tuple(re.findall(r"[a-z0-9.]+", _GLUED.sub(r"\g<0> ", plain)))
