"""Every machine of a grid gets the newest right build, judged by an oracle that shares nothing with the resolver."""

import itertools
import random
import re
from collections.abc import Iterator
from functools import cache

import pytest

from envcheck.catalogue import Catalogue
from envcheck.model.facts import Facts, Gpu, Host, Nvidia, Python, Sighting
from envcheck.model.plan import Build, Wish
from envcheck.recommend.resolve import best, plan_for
from envcheck.recommend.target import target_of

CATALOGUE = Catalogue.shipped()

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

Cell = tuple[str, str, str, tuple[str, ...], str]


def cells() -> Iterator[Cell]:
    for os, machine, drivers in SYSTEMS:
        for driver, gpus, python in itertools.product(drivers, GPUS, PYTHONS):
            yield os, machine, driver, gpus, python


def facts(cell: Cell) -> Facts:
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


@cache
def dotted(version: str) -> tuple[int, ...]:
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


@pytest.fixture(scope="module")
def by_newest() -> dict[tuple[str, str], list[Build]]:
    found: dict[tuple[str, str], list[Build]] = {}
    for build in CATALOGUE.builds():
        if build.variant.startswith("cu"):
            found.setdefault((build.os, build.machine), []).append(build)
    return {place: sorted(rows, key=lambda build: dotted(build.torch), reverse=True) for place, rows in found.items()}


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: f"{system[0]}-{system[1]}")
def test_every_cell_gets_the_newest_right_build(
    system: tuple[str, str, dict[str, tuple[str, str]]], by_newest: dict[tuple[str, str], list[Build]]
) -> None:
    known = set(CATALOGUE.builds())
    for cell in (cell for cell in cells() if cell[:2] == system[:2]):
        chosen = best(target_of(facts(cell), CATALOGUE), CATALOGUE, Wish())
        right = next((build for build in by_newest[cell[0], cell[1]] if oracle_accepts(build, cell)), None)
        assert (chosen and chosen.torch) == (right and right.torch), cell
        if chosen is not None:
            assert chosen in known, cell
            assert oracle_accepts(chosen, cell), cell


def test_every_rejection_has_its_reason_and_every_dead_end_a_way_out() -> None:
    drawn = random.Random(7).sample(list(cells()), 150)
    for cell in drawn:
        plan = plan_for(target_of(facts(cell), CATALOGUE), CATALOGUE, Wish())
        assert len(plan.rejected) == len(CATALOGUE.builds()) - (plan.build is not None), cell
        for rejection in plan.rejected:
            assert rejection.rule
            assert rejection.reason.english()
            if rejection.rule not in ("older", "variant"):
                assert not oracle_accepts(rejection.build, cell), (cell, rejection)
        assert plan.build is not None or plan.nearest, cell


def test_the_grid_is_as_large_as_it_says() -> None:
    assert sum(1 for _ in cells()) == 9 * 32 * (2 * 25 + 19)


def test_the_best_alone_is_the_build_of_the_whole_plan() -> None:
    for cell in random.Random(11).sample(list(cells()), 60):
        target = target_of(facts(cell), CATALOGUE)
        assert best(target, CATALOGUE, Wish()) == plan_for(target, CATALOGUE, Wish()).build
