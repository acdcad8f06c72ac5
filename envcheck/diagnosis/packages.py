"""What the listed packages say: which is there, which pins are kept, which belong together. Pure."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from envcheck.diagnosis.case import Case
from envcheck.model.facts import Package
from envcheck.model.versions import numbers

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_PINNED = re.compile(r"[\w.-]+\s*(?:\[[^\]]*\]\s*)?\(?[^;]*==")
"""What may hold an exact pin; only these lines are worth the import of packaging."""
_PLATFORMS = {"linux": ("Linux", "linux"), "windows": ("Windows", "win32"), "macos": ("Darwin", "darwin")}


class Pin(NamedTuple):
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
    """The exact pins of `owner` that hold on this system."""
    pinned = [line for line in owner.requires or () if _PINNED.match(line)]
    if not pinned:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    for line in pinned:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        exact = [
            one.version for one in requirement.specifier if one.operator in ("==", "===") and "*" not in one.version
        ]
        if exact and _applies(case, requirement):
            name = requirement.name.lower().replace("_", "-").replace(".", "-")
            yield Pin(owner, name, exact[0], package(case, name))


def _applies(case: Case, requirement: "Requirement") -> bool:
    if requirement.marker is None:
        return True
    host, python = case.facts.host, case.facts.python
    system, platform = _PLATFORMS.get(host.os or "", ("", ""))
    machine = {"x86_64": "AMD64"}.get(host.machine or "", host.machine or "") if system == "Windows" else host.machine
    version = python.version or "3.11"
    known = {
        "extra": "",
        "implementation_name": "cpython",
        "os_name": "nt" if system == "Windows" else "posix",
        "platform_machine": machine or "",
        "platform_python_implementation": python.implementation or "CPython",
        "platform_system": system,
        "python_full_version": version,
        "python_version": ".".join(version.split(".")[:2]),
        "sys_platform": platform,
    }
    return requirement.marker.evaluate(known)
