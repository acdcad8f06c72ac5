"""What the listed packages say: which is there, which pins are kept, which belong together. Pure."""

import re
from collections.abc import Iterator

from envcheck.diagnosis.case import Case
from envcheck.model.base import Plain
from envcheck.model.facts import Package
from envcheck.model.patterns import regex
from envcheck.model.versions import numbers

_EXACT = regex(
    r"\s*(?P<name>[A-Za-z0-9][\w.-]{0,80})\s{0,4}(?:\(\s?)?===?\s{0,4}(?P<version>[\w.+!-]{1,60})(?=[\s;)]|$)"
)
_PLATFORMS = {"linux": ("Linux", "linux"), "windows": ("Windows", "win32"), "macos": ("Darwin", "darwin")}


class Pin(Plain, frozen=True):
    """A requirement of a distribution for exactly one version, and what is installed."""

    by: Package
    name: str
    wanted: str
    installed: Package | None


def package(case: Case, name: str) -> Package | None:
    """The first listed package of that name."""
    return next((one for one in case.facts.packages or () if one.name == name), None)


def named(case: Case, name: str) -> tuple[Package, ...]:
    """Every listed package of that name."""
    return tuple(one for one in case.facts.packages or () if one.name == name)


def conda_packages(case: Case) -> tuple[Package, ...]:
    """Packages that conda installed."""
    return tuple(one for one in case.facts.packages or () if one.installer == "conda" or one.build)


def public(version: str) -> str:
    """A version without its local part."""
    return version.partition("+")[0]


def local(version: str | None) -> str:
    """The local part of a version, `cu126`; empty where there is none."""
    return (version or "").partition("+")[2]


def same_version(one: str, other: str) -> bool:
    """Whether two public versions are the same release (`2.3` and `2.3.0`)."""
    first, second = numbers(public(one)), numbers(public(other))
    width = max(len(first), len(second))
    padded = [part + (0,) * (width - len(part)) for part in (first, second)]
    return padded[0] == padded[1] and prerelease(one) == prerelease(other)


def prerelease(version: str) -> bool:
    """Whether a version is a nightly or another build before its release."""
    return any(mark in public(version) for mark in ("dev", "a", "b", "rc"))


def pins(case: Case, owner: Package) -> Iterator[Pin]:
    """The exact pins of `owner` that hold on this system.

    A pin that is kept is read by its form alone: `packaging`, whose import takes longer than all checks together,
    is asked only whether one that is not kept was meant for this system.
    """
    for line in owner.requires or ():
        match = _EXACT.match(line)
        if match is None:
            continue
        name = re.sub(r"[-_.]+", "-", match["name"]).lower()
        installed = package(case, name)
        kept = installed is not None and same_version(match["version"], installed.version or "")
        if kept or _is_meant(case, line):
            yield Pin(owner, name, match["version"], installed)


def _is_meant(case: Case, line: str) -> bool:
    """Whether a requirement is one, and its marker holds on the examined system."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return False
    return requirement.marker is None or requirement.marker.evaluate(_system_of(case))


def _system_of(case: Case) -> dict[str, str]:
    """The examined system in the words of environment markers."""
    host, python = case.facts.host, case.facts.python
    system, platform = _PLATFORMS.get(host.os or "", ("", ""))
    machine = host.machine or ""
    version = python.version or ""
    return {
        "extra": "",
        "implementation_name": (python.implementation or "CPython").lower(),
        "os_name": "nt" if system == "Windows" else "posix",
        "platform_machine": "AMD64" if (system, machine) == ("Windows", "x86_64") else machine,
        "platform_python_implementation": python.implementation or "CPython",
        "platform_system": system,
        "python_full_version": version,
        "python_version": ".".join(version.split(".")[:2]),
        "sys_platform": platform,
    }
