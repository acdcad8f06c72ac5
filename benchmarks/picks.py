"""Which build each tool picks for every machine of a grid, and in how many of them it cannot run."""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from benchmarks.grid import Cell, cells, dotted, facts, is_built, oracle_accepts
from benchmarks.measure import executable
from benchmarks.peers import PEERS, AbsentError, install
from benchmarks.result import Result, Row, result
from benchmarks.torch_site import torch_site
from envcheck.catalogue import Catalogue
from envcheck.model.plan import Build, Wish
from envcheck.recommend.choice import best
from envcheck.recommend.target import target_of

CATALOGUE = Catalogue.shipped()
INSIDE = Path(__file__).with_name("picks_inside.py")
COLUMNS = ("right", "older than need be", "CPU build beside a GPU that would do", "nothing installs", "cannot run")
AT_HAND = "cannot run, though a right one exists"
PLATFORMS = {
    ("linux", "x86_64"): "x86_64-unknown-linux-gnu",
    ("linux", "aarch64"): "aarch64-unknown-linux-gnu",
    ("windows", "x86_64"): "windows",
}
# One product of each capability, named as torchruntime's own table of PCI devices names it.
NAMES = {
    "3.5": "GK110B [GeForce GTX TITAN Black]", "3.7": "GK210GL [Tesla K80]", "5.0": "GM107 [GeForce GTX 750 Ti]",
    "5.2": "GM204 [GeForce GTX 980]", "6.0": "GP100GL [Tesla P100 PCIe 16GB]", "6.1": "GP102 [GeForce GTX 1080 Ti]",
    "7.0": "GV100GL [Tesla V100 SXM2 16GB]", "7.5": "TU102 [GeForce RTX 2080 Ti]", "8.0": "GA100 [A100 PCIe 40GB]",
    "8.6": "GA102 [GeForce RTX 3090]", "8.9": "AD102 [GeForce RTX 4090]", "9.0": "GH100 [H100 PCIe]",
    "10.0": "GB100 [B200]", "10.3": "GB110 [B300 SXM6 AC]", "12.0": "GB202 [GeForce RTX 5090]", "12.1": "GB20B [GB10]",
}  # fmt: skip

Pick = Build | None


def run(runs: int) -> Result:
    """The grid given to each tool; the same judge for all, ours included."""
    del runs
    grid = [cell for cell in cells() if is_built(cell)]
    tools: dict[str, Callable[[list[Cell]], list[Pick]]] = {
        "envcheck": ours,
        "uv --torch-backend=auto": uv,
        "light-the-torch": light_the_torch,
        "torchruntime": torchruntime,
        "env-doctor": env_doctor,
    }
    rows: list[Row] = []
    notes = [
        f"{len(grid)} machines that can stand somewhere: the driver knows every GPU, no Jetson boards.",
        "Judged by benchmarks/grid.py over envcheck's catalogue: existing wheels, NVIDIA's rules for drivers, kernels.",
        "Nothing at all, or a CPU build, counts as right where no CUDA build runs.",
        "uv itself chose, from our pages of download.pytorch.org behind a loopback proxy.",
        "The other peers were asked in their own interpreters; of the index that they name pip's choice was taken.",
    ]
    for name, tool in tools.items():
        try:
            picks = list(zip(grid, tool(grid), strict=True))
        except AbsentError as error:
            notes.append(f"{name}: not asked, {error}")
            continue
        found = Counter(judge(cell, pick) for cell, pick in picks)
        missed = sum(judge(cell, pick) == COLUMNS[-1] and _newest_right(cell) is not None for cell, pick in picks)
        rows.append(Row(name=name, figures={**{column: found[column] for column in COLUMNS}, AT_HAND: missed}))
    versions = {name: peer.requirement.partition("==")[2] for name, peer in PEERS.items() if name in " ".join(tools)}
    return result("picks", rows, versions=versions, notes=notes)


def judge(cell: Cell, pick: Pick) -> str:
    """One of `COLUMNS`."""
    newest = _newest_right(cell)
    if pick is None:
        return "nothing installs" if newest else "right"
    if not pick.variant.startswith("cu"):
        return "CPU build beside a GPU that would do" if newest else "right"
    if not oracle_accepts(pick, cell):
        return "cannot run"
    return "right" if newest is None or dotted(pick.torch) >= dotted(newest.torch) else "older than need be"


def _newest_right(cell: Cell) -> Build | None:
    rows = _on(cell[0], cell[1], cell[4])
    return next((build for build in rows if build.variant.startswith("cu") and oracle_accepts(build, cell)), None)


@cache
def _on(os: str, machine: str, python: str) -> tuple[Build, ...]:
    """What can be installed there at all, newest first."""
    rows = [one for one in CATALOGUE.builds() if (one.os, one.machine) == (os, machine) and python in one.pythons]
    return tuple(sorted(rows, key=lambda build: dotted(build.torch), reverse=True))


def _first(cell: Cell, variant: str, version: str | None = None) -> Pick:
    """The newest wheel on the index of a variant, or the one of that version."""
    rows = _on(cell[0], cell[1], cell[4])
    return next((one for one in rows if one.variant == variant and version in (None, one.torch)), None)


def _from_default_index(cell: Cell) -> Pick:
    return next((one for one in _on(cell[0], cell[1], cell[4]) if one.on_default_index), None)


def ours(grid: list[Cell]) -> list[Pick]:
    """The resolver."""
    return [best(target_of(facts(cell), CATALOGUE), CATALOGUE, Wish()) for cell in grid]


def uv(grid: list[Cell]) -> list[Pick]:
    """It reads the driver alone, so one run a driver, platform and Python."""
    program = executable(install(PEERS["uv"]), "uv")
    asked = sorted({(cell[0], cell[1], cell[2], cell[4]) for cell in grid})
    with (
        tempfile.TemporaryDirectory() as folder,
        torch_site(CATALOGUE.builds(), Path(folder)) as env,
        ThreadPoolExecutor(2) as pool,
    ):
        said = dict(zip(asked, pool.map(lambda one: ask_uv(program, one, env, folder), asked), strict=True))
    picks = []
    for cell in grid:
        version, _, variant = said[cell[0], cell[1], cell[2], cell[4]].partition("+")
        picks.append(_first(cell, variant, version) if variant else None)
    return picks


def ask_uv(program: str, machine: tuple[str, str, str, str], env: dict[str, str], folder: str) -> str:
    """What uv takes for a system, architecture, driver and Python: `2.13.0+cu129`."""
    system, processor, driver, python = machine
    argv = [program, "pip", "compile", "-", "--no-deps", "--no-header", "--no-annotate", "--no-config", "--quiet"]
    argv += ["--torch-backend", "auto", "--python", sys.executable, "--cache-dir", f"{folder}/cache"]
    argv += ["--python-version", python, "--python-platform", PLATFORMS[system, processor]]
    done = subprocess.run(
        argv, input="torch", env={**env, "UV_CUDA_DRIVER_VERSION": driver},
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stdout.strip().removeprefix("torch==")


def light_the_torch(grid: list[Cell]) -> list[Pick]:
    """It takes the highest backend first and compares versions within it as text."""
    picks: list[Pick] = []
    for cell, said in zip(grid, _ask("light-the-torch", grid), strict=True):
        rows = _on(cell[0], cell[1], cell[4])
        served = [(one, [row for row in rows if row.variant == one]) for one in reversed(said["backends"])]
        picks.append(next((max(found, key=lambda build: build.torch) for _, found in served if found), None))
    return picks


def torchruntime(grid: list[Cell]) -> list[Pick]:
    """It takes the newest wheel on one index, or the default index where it says `cpu`."""
    picks: list[Pick] = []
    for cell, said in zip(grid, _ask("torchruntime", grid), strict=True):
        platform = said["platform"]
        if platform is None:
            picks.append(None)
        else:
            picks.append(_from_default_index(cell) if platform == "cpu" else _first(cell, platform))
    return picks


def env_doctor(grid: list[Cell]) -> list[Pick]:
    """It prints a command with an index and mostly a version."""
    picks: list[Pick] = []
    for cell, said in zip(grid, _ask("env-doctor", grid), strict=True):
        version = re.search(r"\btorch==([\d.]+)(?:\+(cu\d+))?", said["command"])
        index = re.search(r"whl/(cu\d+)", said["command"])
        variant = (version and version[2]) or (index and index[1])
        picks.append(_first(cell, variant, version[1] if version else None) if variant else None)
    return picks


def _ask(peer: str, grid: Iterable[Cell]) -> list[dict[str, str]]:
    """One process of the peer's interpreter for the whole grid."""
    python = executable(install(PEERS[peer]), "python")
    machines = [
        {"os": os, "machine": machine, "driver": driver, "names": [NAMES[code] for code in gpus], "python": version}
        for os, machine, driver, gpus, version in grid
    ]
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [python, str(INSIDE), peer], input=json.dumps(machines), env={"HOME": home, "PYTHONIOENCODING": "utf-8"},
            cwd=home, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    if done.returncode:
        raise AbsentError((done.stderr.strip().splitlines() or ["it failed"])[-1])
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found
