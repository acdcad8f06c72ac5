"""Where a build's packages come from: PyTorch's index or a mirror of it, the default index or a mirror of it, channels.

pip and uv take the same pair of indexes in opposite forms, so a `Route` names places and leaves flags to
`commandline`.
"""

from collections.abc import Iterable

from envcheck.catalogue import Catalogue
from envcheck.catalogue.mirrors import Kind, Mirror
from envcheck.model.base import Value
from envcheck.model.plan import Build
from envcheck.model.text import Text, say
from envcheck.model.versions import at_least


class Route(Value, frozen=True, kw_only=True):
    """Places, best first in each; None: the tool's own default."""

    torch: str | None = None
    """The index with the torch wheel; None: it comes from the default index."""
    flat: bool = False
    """Whether that is a page of files rather than an index."""
    beside: bool = False
    """Whether the torch index stands beside the default one, as old releases need it for their dependencies."""
    default: str | None = None
    """A mirror of the default index."""
    channels: tuple[str, ...] = ()
    """conda channels: names, or addresses at a mirror."""
    notes: tuple[Text, ...] = ()


def route(build: Build, catalogue: Catalogue, mirror: Mirror | None = None, others: Iterable[Mirror] = ()) -> Route:
    """The way to `build`, over `mirror` where it has what is needed; `others` are mirrors that may be paired."""
    if build.channel != "wheel":
        return _conda(build, catalogue, mirror)
    beside = at_least(catalogue.platforms.index.beside_until, build.torch)
    if mirror is None or (mirror.pypi is None and mirror.torch_wheels is None):
        missing = () if mirror is None else (say("{mirror} mirrors no Python packages", mirror=mirror.title),)
        return Route(torch=build.index, beside=beside, notes=missing)
    default = mirror.pypi.url if mirror.pypi else None
    if _has_wheels(mirror, build):
        return _over(build, mirror, default, beside, mirror.texts("torch_wheels") + mirror.texts("pypi"))
    return _paired(build, mirror, default, beside, others)


def prefers_default_index(build: Build, mirror: Mirror) -> bool:
    """Whether `mirror` has no wheels of this variant, but a mirror of the default index."""
    return (
        build.channel == "wheel" and not build.on_default_index and bool(mirror.pypi) and not _has_wheels(mirror, build)
    )


def _has_wheels(mirror: Mirror, build: Build) -> bool:
    record = mirror.torch_wheels
    if record is None or build.index is None:
        return False
    return not record.variants or build.variant in record.variants


def _over(build: Build, mirror: Mirror, default: str | None, beside: bool, notes: tuple[Text, ...]) -> Route:
    record = mirror.torch_wheels
    assert record is not None
    return Route(
        torch=record.at(build.variant), flat=record.index == "flat", beside=beside, default=default, notes=notes
    )


def _paired(build: Build, mirror: Mirror, default: str | None, beside: bool, others: Iterable[Mirror]) -> Route:
    """A mirror without PyTorch's wheels: the default index's own build where that is the one, else a second mirror."""
    told = say("{mirror} has no wheels for {variant}", mirror=mirror.title, variant=build.variant)
    if build.on_default_index:
        return Route(default=default)
    for other in sorted(others, key=lambda one: mirror.pair.index(one.name) if one.name in mirror.pair else 99):
        if other.name in mirror.pair and _has_wheels(other, build):
            pair = say("torch comes from {mirror}, all else from {other}", mirror=other.title, other=mirror.title)
            return _over(build, other, default, beside, (told, pair))
    official = say("torch comes from PyTorch's own index, all else from {other}", other=mirror.title)
    return Route(torch=build.index, beside=beside, default=default, notes=(told, official))


_CHANNEL_KINDS: dict[str, Kind] = {
    "conda-forge": "conda_forge",
    "pytorch": "pytorch_channel",
    "nvidia": "nvidia_channel",
}


def _conda(build: Build, catalogue: Catalogue, mirror: Mirror | None) -> Route:
    names = catalogue.conda_era(build).channels.split()
    if build.cuda is None and "nvidia" in names:
        names.remove("nvidia")
    channels: list[str] = []
    notes: list[Text] = []
    for name in names:
        kind = _CHANNEL_KINDS[name]
        record = mirror.usable(kind) if mirror else None
        channels.append(record.url if record and record.url else name)
        if mirror and record:
            notes += mirror.texts(kind)
        elif mirror:
            notes.append(say("{mirror} has no channel {name}: it comes from upstream", mirror=mirror.title, name=name))
    return Route(channels=tuple(channels), notes=tuple(notes))
