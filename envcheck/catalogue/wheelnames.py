"""What the file names of torch's wheels say: release, variant, system, Python. Pure, bounded, never an exception."""

from collections.abc import Iterable

from envcheck.model.base import Plain
from envcheck.model.patterns import regex
from envcheck.model.versions import numbers

_NAME = regex(
    r"torch-(?P<torch>\d{1,2}\.\d{1,3}\.\d{1,3})(?:\+(?P<local>[a-z0-9.]{2,20}))?(?:-\d{1,3})?"
    r"-cp3(?P<minor>\d{1,2})-(?:cp3\d{1,2}m?(?P<free>t)?|none|abi3)-(?P<platform>[a-z0-9_.]{3,80})\.whl"
)
_LINUX = regex(r"(?:manylinux_(\d+)_(\d+)|manylinux2014|manylinux1|linux)_(x86_64|aarch64)$")
_MACOS = regex(r"macosx_(\d+)_(\d+)_(x86_64|arm64)$")
_VARIANT = regex(r"cpu|cu\d{2,4}|rocm\d{1,2}(?:\.\d{1,2}){1,2}|xpu")


class WheelName(Plain, frozen=True):
    """One wheel, as its name tells it. `variant` is empty where no label tells it."""

    torch: str
    variant: str
    os: str
    machine: str
    python: str
    glibc: str | None = None
    macos: str | None = None


class Row(Plain, frozen=True):
    """Wheels alike, as a row of `releases.toml`."""

    torch: str
    os: str
    machine: str
    variants: tuple[str, ...]
    pythons: tuple[str, ...]
    glibc: str | None
    macos: str | None
    labels: bool


def read(name: str) -> WheelName | None:
    """The wheel of that file name; None for anything else: other packages, pre-releases, odd platforms."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    python = f"3.{match['minor']}{match['free'] or ''}"
    platform = match["platform"].rpartition(".")[2]
    local = match["local"] or ""
    if local and not _VARIANT.fullmatch(local):
        return None
    linux, macos = _LINUX.search(platform), _MACOS.search(platform)
    if linux is not None:
        glibc = f"{linux[1]}.{linux[2]}" if linux[1] else "2.17"
        return WheelName(match["torch"], local, "linux", linux[3], python, glibc=glibc)
    if macos is not None:
        variant = local or ("mps" if macos[3] == "arm64" else "cpu")
        return WheelName(match["torch"], variant, "macos", macos[3], python, macos=f"{macos[1]}.{macos[2]}")
    if platform in ("win_amd64", "win_arm64"):
        return WheelName(match["torch"], local, "windows", "x86_64" if platform == "win_amd64" else "arm64", python)
    return None


def rows(names: Iterable[str]) -> tuple[Row, ...]:
    """Wheels with a known variant, folded into rows; newest release first."""
    wheels = {wheel for name in names if (wheel := read(name)) is not None and wheel.variant}
    pythons: dict[tuple[str, str, str, str, str | None, str | None], set[str]] = {}
    for one in wheels:
        key = (one.torch, one.os, one.machine, one.variant, one.glibc, one.macos)
        pythons.setdefault(key, set()).add(one.python)
    variants: dict[tuple[str, str, str, tuple[str, ...], str | None, str | None], set[str]] = {}
    for (torch, os, machine, variant, glibc, macos), found in pythons.items():
        told = tuple(sorted(found, key=_python_order))
        variants.setdefault((torch, os, machine, told, glibc, macos), set()).add(variant)
    folded = [
        Row(torch, os, machine, tuple(sorted(found)), told, glibc, macos, os != "macos")
        for (torch, os, machine, told, glibc, macos), found in variants.items()
    ]
    return tuple(sorted(folded, key=lambda row: (numbers(row.torch), row.os, row.machine, row.variants), reverse=True))


def _python_order(python: str) -> tuple[tuple[int, ...], bool]:
    return numbers(python), python.endswith("t")
