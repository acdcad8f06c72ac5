"""Every machine of a grid, and whether a build runs there: an oracle that shares nothing with the resolver."""

import itertools
import re
from collections.abc import Iterator
from functools import cache

from envcheck.model.facts import Facts, Gpu, Host, Nvidia, Python, Sighting
from envcheck.model.plan import Build

# Driver -> the CUDA version that it speaks, and the newest toolkit that it runs: written down by hand here, from
# NVIDIA's tables, so that a slip in the catalogue's data or in the resolver shows.
LINUX = {
    "340.108": ("6.5", "6.5"), "352.39": ("7.5", "7.5"), "367.48": ("8.0", "8.0"), "384.81": ("9.0", "9.0"),
    "390.157": ("9.1", "9.1"), "396.37": ("9.2", "9.2"), "410.48": ("10.0", "10.0"), "418.43": ("10.1", "10.1"),
    "440.33.01": ("10.2", "10.2"), "450.36.06": ("11.0", "11.0"), "450.80.02": ("11.0", "11.9"),
    "460.32.03": ("11.2", "11.9"), "465.19.01": ("11.3", "11.9"), "470.82.01": ("11.4", "11.9"),
    "510.47.03": ("11.6", "11.9"), "520.61.05": ("11.8", "11.9"), "525.60.13": ("12.0", "12.9"),
    "535.183.01": ("12.2", "12.9"), "550.54.14": ("12.4", "12.9"), "560.35.03": ("12.6", "12.9"),
    "570.124.06": ("12.8", "12.9"), "575.57.08": ("12.9", "12.9"), "580.95.05": ("13.0", "13.9"),
    "595.58.03": ("13.2", "13.9"), "610.43.02": ("13.3", "13.9"),
}  # fmt: skip
WINDOWS = {
    "342.01": ("6.5", "6.5"), "376.51": ("8.0", "8.0"), "391.35": ("9.1", "9.1"), "398.26": ("9.2", "9.2"),
    "418.96": ("10.1", "10.1"), "441.22": ("10.2", "10.2"), "451.22": ("11.0", "11.0"), "452.39": ("11.0", "11.9"),
    "465.89": ("11.3", "11.9"), "472.50": ("11.4", "11.9"), "516.94": ("11.7", "11.9"), "522.06": ("11.8", "11.9"),
    "527.41": ("12.0", "12.0"), "528.33": ("12.0", "12.9"), "537.13": ("12.2", "12.9"), "561.17": ("12.6", "12.9"),
    "572.61": ("12.8", "12.9"), "580.88": ("13.0", "13.9"), "595.79": ("13.2", "13.9"),
}  # fmt: skip
SINGLE = (
    "3.5", "3.7", "5.0", "5.2", "5.3", "6.0", "6.1", "6.2", "7.0", "7.2", "7.5", "8.0", "8.6", "8.7", "8.9", "9.0",
    "10.0", "10.3", "11.0", "12.0", "12.1",
)  # fmt: skip
MIXED = (
    ("3.7", "6.1"), ("5.2", "8.6"), ("6.1", "8.6"), ("6.1", "12.0"), ("7.0", "8.0"), ("7.5", "8.9"), ("8.0", "9.0"),
    ("8.6", "12.0"), ("9.0", "10.0"), ("5.0", "12.0"), ("8.9", "12.1"),
)  # fmt: skip
GPUS = tuple((one,) for one in SINGLE) + MIXED
PYTHONS = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
SYSTEMS = (("linux", "x86_64", LINUX), ("linux", "aarch64", LINUX), ("windows", "x86_64", WINDOWS))

# The CUDA version of the first driver that knew a generation, and the last branch that still drives it.
FIRST_CUDA = {
    "3.5": "5.0", "3.7": "6.5", "5.0": "6.0", "5.2": "6.5", "6.0": "8.0", "6.1": "8.0", "7.0": "9.0", "7.5": "10.0",
    "8.0": "11.0", "8.6": "11.1", "8.9": "11.8", "9.0": "11.8", "10.0": "12.8", "10.3": "12.9", "12.0": "12.8",
    "12.1": "13.0",
}  # fmt: skip
LAST_BRANCH = {"3": 475, "5": 582, "6": 582, "7.0": 582}
PLACES = {"10.0": ("linux",), "10.3": ("linux",), "12.1": ("linux aarch64",)}

Cell = tuple[str, str, str, tuple[str, ...], str]


def cells() -> Iterator[Cell]:
    """Each machine: system, architecture, driver, capabilities of its GPUs, Python."""
    for os, machine, drivers in SYSTEMS:
        for driver, gpus, python in itertools.product(drivers, GPUS, PYTHONS):
            yield os, machine, driver, gpus, python


def facts(cell: Cell) -> Facts:
    """The machine as a look at it would describe it."""
    os, machine, driver, gpus, python = cell
    glibc = {"libc": "glibc", "libc_version": "2.39"} if os == "linux" else {}
    return Facts(
        host=Host(os=os, machine=machine, **glibc),
        python=Python(version=f"{python}.1", implementation="CPython", bits=64, free_threaded=False),
        nvidia=Nvidia(
            driver_versions=(Sighting(value=driver, look="nvml"),),
            gpus=tuple(Gpu(index=at, compute_capability=code) for at, code in enumerate(gpus)),
        ),
    )


def is_built(cell: Cell) -> bool:
    """Whether such a machine can stand somewhere: the driver knows each GPU, and none is a board of its own kind."""
    os, machine, driver, gpus, _ = cell
    speaks, _ = (LINUX if os == "linux" else WINDOWS)[driver]
    return all(_is_driven(code, speaks, driver) and _stands(code, os, machine) for code in gpus)


def _is_driven(code: str, speaks: str, driver: str) -> bool:
    last = LAST_BRANCH.get(code, LAST_BRANCH.get(code.partition(".")[0], 999) if code != "7.5" else 999)
    return code in FIRST_CUDA and dotted(FIRST_CUDA[code]) <= dotted(speaks) and dotted(driver)[0] <= last


def _stands(code: str, os: str, machine: str) -> bool:
    places = PLACES.get(code)
    return places is None or os in places or f"{os} {machine}" in places


@cache
def dotted(version: str) -> tuple[int, ...]:
    """The numbers of a version."""
    return tuple(int(part) for part in version.split("."))


def oracle_accepts(build: Build, cell: Cell) -> bool:
    """Whether the build runs there, by brute force: drivers from the tables above, kernels by CUDA's rules."""
    os, machine, driver, gpus, python = cell
    speaks, newest = (LINUX if os == "linux" else WINDOWS)[driver]
    if (build.os, build.machine) != (os, machine) or python not in build.pythons or not build.variant.startswith("cu"):
        return False
    digits = build.variant[2:]
    toolkit = (int(digits[:-1]), int(digits[-1]))
    if toolkit > dotted(newest):
        return False
    return all(oracle_serves(build.capabilities, toolkit <= dotted(speaks), dotted(code)) for code in gpus)


@cache
def oracle_serves(kernels: tuple[str, ...], compiles: bool, device: tuple[int, ...]) -> bool:
    """A binary serves its major version upwards, boards with chips of their own aside; PTX of the newest serves on."""
    own_chips = {(5, 3), (6, 2), (7, 2), (8, 7), (10, 1)}
    numbers = {kernel: divmod(int(re.sub(r"\D", "", kernel)), 10) for kernel in kernels}
    for kernel, (major, minor) in numbers.items():
        if kernel.startswith("sm_"):
            exact = (major, minor) == device
            upwards = major == device[0] and minor <= device[1] and not {(major, minor), device} & own_chips
            if exact or upwards:
                return True
        elif compiles and (major, minor) == max(numbers.values()) and device >= (major, minor):
            return True
    return False
