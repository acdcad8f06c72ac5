"""Exceptions of a case: what this torch does not offer, told from what went wrong."""

import re
from collections.abc import Mapping

from envcheck.model.gradients import GradientCase, Layer
from envcheck.model.patterns import regex

_NOT_OFFERED = regex(
    r"not implemented|not supported|unsupported|does(?: not|n't) support|^module '?[\w.]{1,80}'? has no attribute|"
    r"could not run '[^']{1,80}' with arguments|to have one of the following scalar types",
    re.IGNORECASE,
)
_NOT_OFFERED_TYPES = ("NotImplementedError", "ImportError", "ModuleNotFoundError")
_BROKEN = regex(r"no kernel image|CUDA error|HIP error|out of memory|device-side assert", re.IGNORECASE)


def not_offered(error: Mapping[str, str]) -> bool:
    """Whether the exception says that this torch has no such operation (for this dtype, on this device)."""
    text = error.get("text", "")[:2000]
    if _BROKEN.search(text):
        return False
    return error.get("type") in _NOT_OFFERED_TYPES or _NOT_OFFERED.search(text) is not None


def failed(layer: Layer, op: str, dtype: str, error: Mapping[str, str], run: str = "") -> GradientCase:
    """The case that ended in an exception; `run` is the pass where it was raised, if not the first."""
    first = error.get("text", "").strip().splitlines()[:1]
    text = f"{error.get('type', 'error')}: {first[0] if first else ''}"[:400]
    return GradientCase(
        layer=layer,
        op=op,
        dtype=dtype,
        outcome="unsupported" if not run and not_offered(error) else "failed",
        text=f"{run}: {text}" if run else text,
    )
