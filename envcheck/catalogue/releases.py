"""Releases of torch, their companions, and every official build, unfolded from compact rows."""

from envcheck.model.base import Value
from envcheck.model.plan import Build
from envcheck.model.versions import numbers


class Release(Value, frozen=True, kw_only=True):
    """A release of torch and the torchvision and torchaudio that belong to it."""

    torch: str
    torchvision: str | None = None
    torchaudio: str | None = None


class Releases(Value, frozen=True, kw_only=True):
    """`data/releases.toml`."""

    release: tuple[Release, ...]


def builds(table: Releases) -> tuple[Build, ...]:
    """Every build, newest release first."""
    return tuple(
        Build(torch=one.torch, variant="cpu", os="linux", machine="x86_64", pythons=("3.11",))
        for one in sorted(table.release, key=lambda one: numbers(one.torch), reverse=True)
    )
