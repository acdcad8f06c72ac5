"""What each build holds code for."""

from functools import cache

from envcheck.catalogue.files import Source
from envcheck.model.base import Value
from envcheck.model.versions import numbers


class Cuda(Value, frozen=True, kw_only=True):
    """Capabilities (`8.6`, `12.0+PTX`) in the builds of toolkits `versions`, releases `first` to `last`."""

    versions: str
    first: str
    last: str
    os: str
    machine: str
    kernels: str
    source: str


class Rocm(Value, frozen=True, kw_only=True):
    """AMD's targets in the builds for ROCm `versions`."""

    versions: str
    targets: str
    source: str


class Table(Value, frozen=True, kw_only=True):
    """`data/capabilities.toml`."""

    source: dict[str, Source]
    cuda: tuple[Cuda, ...]
    rocm: tuple[Rocm, ...]


Span = tuple[tuple[int, ...], tuple[int, ...]]
_numbers = cache(numbers)


class Capabilities:
    """Questions over the table."""

    def __init__(self, table: Table) -> None:
        self._sources = table.source
        self._cuda: dict[tuple[str, str, str], list[tuple[Span, Cuda]]] = {}
        for row in table.cuda:
            span = (numbers(row.first), numbers(row.last))
            for version in row.versions.split():
                self._cuda.setdefault((version, row.os, row.machine), []).append((span, row))
        self._rocm = {version: row for row in table.rocm for version in row.versions.split()}

    def of(self, torch: str, variant: str, cuda: str | None, os: str, machine: str) -> tuple[tuple[str, ...], str]:
        """Kernels of a build (`sm_86`, `compute_90`, `gfx1100`; empty: none, or not known) and where that was read."""
        if variant.startswith("rocm"):
            row = self._rocm.get(variant.removeprefix("rocm"))
            return (tuple(row.targets.split()), self._sources[row.source].what) if row else ((), "")
        release = _numbers(torch)
        for (first, last), made in self._cuda.get((cuda or "", os, machine), ()):
            if first <= release <= last:
                return kernels(made.kernels), self._sources[made.source].what
        return (), ""


@cache
def kernels(words: str) -> tuple[str, ...]:
    """`"8.6 9.0+PTX"` -> `("sm_86", "sm_90", "compute_90")`."""
    bare = [word.removesuffix("+PTX").replace(".", "") for word in words.split()]
    intermediate = [word.removesuffix("+PTX").replace(".", "") for word in words.split() if word.endswith("+PTX")]
    return tuple(f"sm_{word}" for word in bare) + tuple(f"compute_{word}" for word in intermediate)
