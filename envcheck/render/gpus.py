"""GPUs and devices in words, for the overview."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from envcheck.model.facts import Facts, Gpu
from envcheck.model.text import Text, say

Line = tuple[Text, ...]
"""Parts of one line, to be joined by commas."""

_VENDORS = {"10de": "NVIDIA", "1002": "AMD", "8086": "Intel"}
_ROW = 3
"""So many devices in a row are written as one range."""


def line_of(parts: Iterable[Text | None]) -> Line:
    """The parts that there are."""
    return tuple(part for part in parts if part is not None)


def gpu_lines(facts: Facts) -> list[Line]:
    """What drivers list, a line for GPUs that are alike."""
    apple = [(say("Apple GPU (MPS)"),)] if facts.torch.mps_available else []
    return [*_nvidia(facts.nvidia.gpus or ()), *_amd(facts), *apple]


def cards(facts: Facts) -> str:
    """The display adapters on the bus by their makers, `NVIDIA × 2, Intel`; empty when there is none."""
    count = Counter(_VENDORS[card.vendor] for card in facts.pci or () if card.vendor in _VENDORS)
    return ", ".join(f"{name} × {number}" if number > 1 else name for name, number in count.items())


def devices(names: Iterable[str]) -> str:
    """`CPU, cuda:0-7`: three and more of a kind in a row are written as a range."""
    return ", ".join(_in_rows(names))


def _in_rows(names: Iterable[str]) -> Iterator[str]:
    row: list[tuple[str, int]] = []
    for name in (*names, ""):
        kind, _, index = name.partition(":")
        number = int(index) if index.isdecimal() and len(index) < 6 else None
        if row and (kind, number) == (row[-1][0], row[-1][1] + 1):
            row.append((kind, row[-1][1] + 1))
            continue
        yield from _written(row)
        row = [(kind, number)] if number is not None else []
        if name and number is None:
            yield name


def _written(row: Sequence[tuple[str, int]]) -> Iterator[str]:
    if len(row) >= _ROW:
        yield f"{row[0][0]}:{row[0][1]}-{row[-1][1]}"
    else:
        yield from (f"{kind}:{number}" for kind, number in row)


def _nvidia(gpus: tuple[Gpu, ...]) -> Iterator[Line]:
    alike: dict[tuple[object, ...], list[Gpu]] = {}
    for gpu in gpus:
        key = (gpu.name, gpu.memory_bytes, gpu.compute_capability, gpu.mig_enabled, gpu.error)
        alike.setdefault(key, []).append(gpu)
    for group in alike.values():
        first, name = group[0], group[0].name or "GPU"
        several = say("{count} × {name}", count=len(group), name=name)
        yield line_of(
            (
                several if len(group) > 1 else say("{index}: {name}", index=first.index, name=name),
                _memory(group),
                say("compute capability {capability}", capability=first.compute_capability)
                if first.compute_capability
                else None,
                _mig(first),
                say("does not answer: {error}", error=first.error) if first.error else None,
            )
        )


def _memory(alike: Sequence[Gpu]) -> Text | None:
    """Of one GPU, and how much of it is free; of several the least that is free."""
    total = alike[0].memory_bytes
    if total is None:
        return None
    free = [gpu.memory_free_bytes for gpu in alike if gpu.memory_free_bytes is not None]
    if len(free) < len(alike):
        return say("{gib} GiB", gib=_gib(total))
    if len(alike) > 1:
        return say("{gib} GiB each, {free} GiB or more free", gib=_gib(total), free=_gib(min(free)))
    return say("{gib} GiB, {free} GiB free", gib=_gib(total), free=_gib(free[0]))


def _gib(amount: int) -> str:
    gib = amount / 2**30
    return f"{gib:.0f}" if gib >= 10 or gib == int(gib) else f"{gib:.1f}"


def _mig(gpu: Gpu) -> Text | None:
    if not gpu.mig_enabled:
        return None
    if gpu.mig_devices is None:
        return say("MIG on")
    return say("MIG on, instances: {count}", count=len(gpu.mig_devices))


def _amd(facts: Facts) -> Iterator[Line]:
    for gpu in facts.amd.gpus or ():
        name = say("{index}: {name}", index=gpu.index, name=gpu.name or "AMD GPU")
        yield line_of((name, say("{value}", value=gpu.gfx) if gpu.gfx else None))
