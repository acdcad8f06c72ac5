"""conda packages of torch: which channel carried which release, and how it is asked for there."""

from collections.abc import Iterator
from typing import Literal

from envcheck.catalogue.capabilities import kernels
from envcheck.catalogue.files import Source
from envcheck.catalogue.releases import Release
from envcheck.model.base import Value
from envcheck.model.plan import Build
from envcheck.model.versions import numbers


class Era(Value, frozen=True, kw_only=True):
    """How a time asks for torch: package names, what to ask for beside it, channels (words, `{cuda}` filled in)."""

    gpu: str
    cpu: str
    specs: str
    cpu_specs: str = ""
    channels: str


class Packages(Value, frozen=True, kw_only=True):
    """Packages alike; `torch`, `cuda` and `pythons` are words with spaces between, no cuda: CPU packages."""

    era: str
    torch: str
    os: str
    machine: str
    cuda: str
    kernels: str
    pythons: str
    glibc: str | None = None
    source: str


class Conda(Value, frozen=True, kw_only=True):
    """`data/conda.toml`."""

    source: dict[str, Source]
    channel: dict[str, Era]
    packages: tuple[Packages, ...]


def builds(table: Conda, releases: dict[str, Release]) -> tuple[Build, ...]:
    """Every package, newest release first; `index` names the era (`conda-forge`, `pytorch-cuda`, `cudatoolkit`)."""
    every = (build for row in table.packages for build in _unfold(table, row, releases))
    return tuple(sorted(every, key=lambda build: numbers(build.torch), reverse=True))


def _unfold(table: Conda, row: Packages, releases: dict[str, Release]) -> Iterator[Build]:
    source = table.source[row.source]
    channel: Literal["conda-forge", "pytorch-conda"] = "conda-forge" if row.era == "conda-forge" else "pytorch-conda"
    for torch in row.torch.split():
        for cuda in row.cuda.split() or [""]:
            cpu = "mps" if row.os == "macos" else "cpu"
            yield Build(
                torch=torch,
                variant=f"cu{cuda.replace('.', '')}" if cuda else cpu,
                channel=channel,
                os=row.os,  # type: ignore[arg-type]  # a test checks the words of every row
                machine=row.machine,
                pythons=tuple(row.pythons.split()),
                libc=row.glibc,
                cuda=cuda or None,
                capabilities=kernels(row.kernels) if cuda else (),
                index=row.era,
                torchvision=releases[torch].torchvision,
                torchaudio=releases[torch].torchaudio,
                source=source.what,
                date=source.date,
            )
