"""Which compiled code runs on which GPU: CUDA's binary compatibility, PTX, and AMD's targets."""

import re
from functools import lru_cache

from envcheck.model.versions import capability

_SYSTEM_ON_CHIP = frozenset({(5, 3), (6, 2), (7, 2), (8, 7), (10, 1)})
"""Tegra's capabilities: binaries are not shared with the desktop GPUs of the same major version.

Source: CUDA C++ programming guide, "Binary Compatibility"; torch 2.13.0 torch/cuda/__init__.py, DEVICE_REQUIREMENT.
"""
_RENAMED = {(10, 1): (11, 0)}
"""Thor's capability 10.1 of CUDA 12.8 and 12.9 is called 11.0 from CUDA 13.0 on (same sources)."""


@lru_cache(maxsize=4096)
def runs(kernel: str, device: str) -> bool:
    """Whether code compiled for `kernel` runs on `device`; a name that is none runs nowhere."""
    if kernel.startswith("gfx") or device.startswith("gfx"):
        return kernel.partition(":")[0] == device.partition(":")[0]
    made_for, have = capability(kernel), capability(device)
    if made_for is None or have is None:
        return False
    suffix = re.search(r"[af]$", kernel)
    if suffix and suffix[0] == "a":
        return made_for == have
    if kernel.startswith("compute_") and not suffix:
        return have >= made_for
    return _binary(made_for, have)


def _binary(made_for: tuple[int, int], have: tuple[int, int]) -> bool:
    if made_for in _SYSTEM_ON_CHIP or have in _SYSTEM_ON_CHIP:
        return have in (made_for, _RENAMED.get(made_for))
    return made_for[0] == have[0] and made_for[1] <= have[1]
