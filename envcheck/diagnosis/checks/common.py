"""What the checks of GPU and driver share."""

from envcheck.diagnosis import exhibits
from envcheck.diagnosis.case import Case
from envcheck.model.facts import ApiStatus, Gpu
from envcheck.model.report import Evidence, Severity

NO_CUDA = ("EC401", "EC410", "EC411", "EC233", "EC243", "EC901", "EC902")
"""What a driver that does not work looks like from above."""

DRIVER_LOOKS = ("nvml", "libcuda", "smi")
_CLOSED = ("NO_PERMISSION", "OPERATING_SYSTEM")
_REFUSED = (4, 17)
"""What NVML returns for both."""
_WISH: dict[bool | None, Severity] = {True: "error", None: "warning", False: "info"}


def wish(case: Case) -> Severity:
    """How bad an NVIDIA GPU without a driver is: an error for a CUDA build, no matter where a CPU build was chosen."""
    return _WISH[case.wants_nvidia]


def owns_its_driver(case: Case) -> bool:
    """A system that brings its driver itself: not WSL, not a Jetson, not a container."""
    host = case.facts.host
    return not host.wsl and not host.jetson and not case.in_container


def closed_to_user(case: Case) -> tuple[Gpu, ...]:
    """Listed GPUs that this user, job or container may not use: the driver counts them all the same."""
    return tuple(gpu for gpu in case.listed or () if gpu.error in _CLOSED)


def refused_to_user(case: Case) -> ApiStatus | None:
    """The call for all GPUs (not for one of them) that was refused for want of permission."""
    statuses = (one for one in case.facts.nvidia.statuses if one.api == "nvml" and one.code in _REFUSED)
    return next((one for one in statuses if "DeviceGetHandle" not in one.call), None)


def cards_on_bus(case: Case, limit: int = 4) -> tuple[Evidence, ...]:
    """The NVIDIA cards on the bus, as evidence."""
    return tuple(exhibits.pci(card) for card in (case.nvidia_pci or ())[:limit])
