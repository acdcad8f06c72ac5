"""Releases of torch, their companions, and every official build, unfolded from compact rows."""

from collections.abc import Iterator
from functools import cache

from envcheck.catalogue import capabilities
from envcheck.catalogue.files import Source
from envcheck.model.base import Value
from envcheck.model.plan import Build
from envcheck.model.versions import numbers


class Release(Value, frozen=True, kw_only=True):
    """The torchvision and torchaudio that belong to a release of torch."""

    torchvision: str | None = None
    torchaudio: str | None = None
    source: str


class Wheels(Value, frozen=True, kw_only=True):
    """Wheels alike: `torch` (releases), `variants` and `pythons` are words with spaces between.

    `default`: the variant that the default index serves on this platform. `labels`: whether wheels carry a local
    version label (`+cu126`) on the torch index. `tag`: platform tag of the file name where they carry none.
    """

    torch: str
    os: str
    machine: str
    variants: str
    default: str = ""
    labels: bool = True
    tag: str = ""
    pythons: str
    glibc: str | None = None
    macos: str | None = None
    source: str


class Releases(Value, frozen=True, kw_only=True):
    """`data/releases.toml`."""

    index: str
    """Address below which the torch index of a variant lies."""
    source: dict[str, Source]
    release: dict[str, Release]
    wheels: tuple[Wheels, ...]


def builds(
    table: Releases, known: capabilities.Capabilities, os: str | None = None, machine: str | None = None
) -> tuple[Build, ...]:
    """The builds for `os` and `machine` (None: any), newest release first."""
    rows = (row for row in table.wheels if os in (None, row.os) and machine in (None, row.machine))
    every = (build for row in rows for build in _unfold(table, row, known))
    order = {torch: numbers(torch) for torch in table.release}
    return tuple(sorted(every, key=lambda build: order[build.torch], reverse=True))


@cache
def toolkit(variant: str) -> str | None:
    """The CUDA toolkit of a variant: `cu126` -> `12.6`, `cu92` -> `9.2`; None for the others."""
    digits = variant[2:]
    return f"{digits[:-1]}.{digits[-1]}" if variant.startswith("cu") and digits.isdigit() else None


def _unfold(table: Releases, row: Wheels, known: capabilities.Capabilities) -> Iterator[Build]:
    source, pythons = table.source[row.source], tuple(row.pythons.split())
    for torch in row.torch.split():
        release = table.release[torch]
        for variant in row.variants.split():
            cuda, default = toolkit(variant), variant == row.default
            kernels, told = known.of(torch, variant, cuda, row.os, row.machine)
            yield Build(
                torch=torch,
                variant=variant,
                os=row.os,  # type: ignore[arg-type]  # msgspec has checked the word
                machine=row.machine,
                pythons=pythons,
                libc=row.glibc,
                cuda=cuda,
                capabilities=kernels,
                local=f"+{variant}" if row.labels else "",
                index=None if default and not row.labels and not row.tag else f"{table.index}/{variant}",
                torchvision=release.torchvision,
                torchaudio=release.torchaudio,
                on_default_index=default,
                os_version=row.macos,
                tag=row.tag,
                source=_both(source.what, told),
                date=source.date,
            )


@cache
def _both(*sources: str) -> str:
    return "; ".join(dict.fromkeys(text for text in sources if text))
