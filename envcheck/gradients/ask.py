"""What the worker is asked, and the text of its script."""

from collections.abc import Sequence
from pathlib import Path

from envcheck.gradients import exact, lesson
from envcheck.gradients.recipe import Case, pool_of
from envcheck.model.base import Value

DTYPES = ("float32", "bfloat16", "float16")
MAIN = "backprop.py"
BESIDE = ("backprop_kit.py", "backprop_exact.py", "backprop_random.py", "backprop_probe.py")
CPU_LOAD, OTHER_LOAD = 0.02, 1.0
"""Seconds of load where nothing else was asked for."""


class LoadTimes(Value, frozen=True, kw_only=True):
    """Seconds of load on the CPU and on every other device."""

    cpu: float
    other: float


class Ask(Value, frozen=True, kw_only=True):
    """All that the worker is told. `devices`: `cpu`, `cuda`, `cuda:1`, ...; none: all. `skip`: steps left out."""

    seed: int
    seeds: tuple[int, ...]
    dtypes: tuple[str, ...]
    devices: tuple[str, ...]
    exact: tuple[Case, ...]
    large: tuple[Case, ...]
    pool: tuple[int, ...]
    lesson: dict[str, dict[str, object]]
    load: LoadTimes
    skip: tuple[str, ...] = ()
    trace_after: float | None = None


def wanted(device: str, devices: Sequence[str]) -> bool:
    """Whether `device` is among those asked for: itself, its kind (`cuda`), or no choice at all."""
    return not devices or device in devices or device.partition(":")[0] in devices


def make_ask(
    *,
    seed: int = 0,
    rounds: int = 1,
    devices: Sequence[str] = (),
    seconds: float | None = None,
    trace_after: float | None = None,
) -> Ask:
    """The default question, or one with another seed, more rounds of random numbers, more seconds of load."""
    load = LoadTimes(cpu=CPU_LOAD, other=OTHER_LOAD) if seconds is None else LoadTimes(cpu=seconds, other=seconds)
    return Ask(
        seed=seed,
        seeds=tuple(range(seed, seed + rounds)),
        dtypes=DTYPES,
        devices=tuple(devices),
        exact=exact.cases(seed),
        large=exact.large_cases(seed),
        pool=pool_of(seed),
        lesson=lesson.ask(),
        load=load,
        trace_after=trace_after,
    )


def script() -> tuple[str, dict[str, str]]:
    """The worker's program, and the modules that lie beside it by file name."""
    folder = Path(__file__).parent.parent / "workers"
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in (MAIN, *BESIDE)}
    return texts.pop(MAIN), texts
