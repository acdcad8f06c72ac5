"""What a plan is made for: the few facts that decide which build is right, each None where they do not say."""

import re
from collections.abc import Iterable
from typing import Literal

from envcheck.catalogue import Catalogue
from envcheck.catalogue.remedies import last_branch
from envcheck.model.base import Value
from envcheck.model.facts import Facts, Gpu, PciDevice, Sighting
from envcheck.model.text import Text, say
from envcheck.model.versions import numbers

Accelerator = Literal["nvidia", "amd", "intel", "apple"]
_NVIDIA, _INTEL = "10de", "8086"


class Device(Value, frozen=True, kw_only=True):
    """A GPU that the build must serve: its name, and its compute capability (`8.6`) or AMD target (`gfx1100`)."""

    name: str
    code: str | None = None
    at_most: str | None = None
    """The greatest compute capability of its family, where only its PCI id is known."""
    last_branch: str | None = None
    """The last driver branch of that family."""


class Target(Value, frozen=True, kw_only=True):
    """The machine as the resolver sees it."""

    os: str | None = None
    os_version: str | None = None
    """macOS's version."""
    machine: str | None = None
    python: str | None = None
    """`3.12`, `3.13t` when free-threaded."""
    implementation: str | None = None
    bits: int | None = None
    libc: str | None = None
    libc_version: str | None = None
    driver: str | None = None
    """The NVIDIA driver's version."""
    driver_os: str = "linux"
    """Whose driver numbers count: in WSL those of Windows."""
    cuda: str | None = None
    """The CUDA version that the driver speaks."""
    jetson: bool = False
    jetson_release: str | None = None
    accelerators: tuple[Accelerator, ...] | None = None
    """What can compute here, most wanted first; empty: the processor only; None: not known."""
    nvidia: tuple[Device, ...] = ()
    amd: tuple[Device, ...] = ()
    notes: tuple[Text, ...] = ()


def target_of(facts: Facts, catalogue: Catalogue) -> Target:
    """The target that `facts` describe."""
    host, python = facts.host, facts.python
    driver_os = "windows" if host.wsl else host.os or "linux"
    driver = _first(facts.nvidia.driver_versions, ("files", "nvml", "smi", "text"))
    gpus, notes = _selected(facts)
    nvidia = tuple(_nvidia_device(gpu, catalogue) for gpu in gpus) or _other_nvidia(facts, catalogue)
    amd = tuple(Device(name=gpu.name or gpu.gfx or "AMD", code=gpu.gfx) for gpu in facts.amd.gpus or ())
    accelerators, doubts = _accelerators(facts, catalogue, nvidia, amd)
    return Target(
        os=host.os,
        os_version=_macos(facts),
        machine=_machine(facts),
        python=_python(facts),
        implementation=python.implementation,
        bits=python.bits,
        libc=python.libc or host.libc,
        libc_version=python.libc_version or host.libc_version,
        driver=driver,
        driver_os=driver_os,
        cuda=_cuda(facts, catalogue, driver, driver_os),
        jetson=bool(host.jetson),
        jetson_release=host.jetson_release,
        accelerators=accelerators,
        nvidia=nvidia,
        amd=amd,
        notes=notes + doubts,
    )


def _first(sightings: Iterable[Sighting], order: tuple[str, ...]) -> str | None:
    seen = tuple(sightings)
    for look in order:
        for sighting in seen:
            if sighting.look == look:
                return sighting.value
    return seen[0].value if seen else None


def _cuda(facts: Facts, catalogue: Catalogue, driver: str | None, driver_os: str) -> str | None:
    """The driver's own word first: a compatibility package may speak a newer CUDA than the driver's branch."""
    told = _first(facts.nvidia.cuda_versions, ("libcuda", "nvml", "smi", "text"))
    return told or (catalogue.cuda_of_driver(driver, driver_os) if driver else None)


def _python(facts: Facts) -> str | None:
    parts = numbers(facts.python.version or "")[:2]
    if len(parts) < 2:
        return None
    return f"{parts[0]}.{parts[1]}{'t' if facts.python.free_threaded else ''}"


def _machine(facts: Facts) -> str | None:
    """The interpreter's architecture: an x86_64 Python on Apple silicon takes x86_64 wheels."""
    platform = facts.python.platform or ""
    word = {"win-amd64": "x86_64", "win-arm64": "arm64", "win32": "i686"}.get(platform) or platform.rpartition("-")[2]
    return word if word in ("x86_64", "aarch64", "arm64", "i686") else facts.host.machine


def _macos(facts: Facts) -> str | None:
    if facts.host.os != "macos":
        return None
    found = re.search(r"\d+(\.\d+)?", facts.host.os_name or "")
    return found[0] if found else None


def _nvidia_device(gpu: Gpu, catalogue: Catalogue) -> Device:
    code = gpu.compute_capability or (catalogue.capability_of(gpu.name) if gpu.name else None)
    return Device(name=gpu.name or f"GPU {gpu.index}", code=code)


def _other_nvidia(facts: Facts, catalogue: Catalogue) -> tuple[Device, ...]:
    """NVIDIA GPUs that the driver does not list: as torch sees them, else as the PCI bus shows them."""
    devices = [one for one in facts.torch.devices or () if one.kind == "cuda"]
    if devices:
        return tuple(
            Device(
                name=one.name or f"GPU {one.index}",
                code=one.compute_capability or (catalogue.capability_of(one.name) if one.name else None),
            )
            for one in devices
        )
    rows = [last_branch(one.device) for one in facts.pci or () if _displays(one, _NVIDIA)]
    cards = [Device(name="NVIDIA GPU", at_most=row.capability, last_branch=row.branch) for row in rows if row]
    unknown = facts.host.jetson or any(row is None for row in rows)
    return tuple(dict.fromkeys((*cards, *((Device(name="NVIDIA GPU"),) if unknown else ()))))


def _displays(one: PciDevice, vendor: str) -> bool:
    return one.vendor == vendor and one.pci_class.startswith("03")


def _accelerators(
    facts: Facts, catalogue: Catalogue, nvidia: tuple[Device, ...], amd: tuple[Device, ...]
) -> tuple[tuple[Accelerator, ...] | None, tuple[Text, ...]]:
    if facts.host.os == "macos":
        return (("apple",) if _machine(facts) == "arm64" else ()), ()
    found: list[Accelerator] = []
    if nvidia:
        found.append("nvidia")
    if amd:
        found.append("amd")
    drives = catalogue.platforms.intel.devices
    if any(_displays(one, _INTEL) and one.device in drives for one in facts.pci or ()):
        found.append("intel")
    if found:
        return tuple(found), ()
    return _none_found(facts)


def _none_found(facts: Facts) -> tuple[tuple[Accelerator, ...] | None, tuple[Text, ...]]:
    """No GPU was seen: because there is none, or because nobody could have seen one?"""
    if facts.nvidia.gpus == () or (facts.pci is not None and not facts.host.wsl):
        return (), ()
    seen = facts.observation("nvml")
    if facts.source == "live" and seen is not None and seen.state == "absent":
        return (), (say("no NVIDIA driver was found: if an NVIDIA GPU is in this machine, install its driver first"),)
    return None, ()


def _selected(facts: Facts) -> tuple[tuple[Gpu, ...], tuple[Text, ...]]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves; all of them where its words cannot be told apart."""
    gpus = facts.nvidia.gpus or ()
    wanted = _variable(facts, "CUDA_VISIBLE_DEVICES")
    if wanted is None or not gpus:
        return gpus, ()
    words = [word.strip() for word in wanted.split(",") if word.strip()]
    chosen = [gpu for word in words for gpu in gpus if _meant(word, gpu)]
    if not chosen:
        return gpus, (say("CUDA_VISIBLE_DEVICES={value} hides every GPU: planned for all of them", value=wanted),)
    alike = len({gpu.compute_capability or gpu.name for gpu in gpus}) == 1
    ordered = _variable(facts, "CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    if any(word.isdigit() for word in words) and not (alike or ordered):
        return gpus, (say("CUDA numbers these GPUs by speed unless CUDA_DEVICE_ORDER=PCI_BUS_ID: planned for all"),)
    return tuple(chosen), ()


def _meant(word: str, gpu: Gpu) -> bool:
    if word.isdecimal() and len(word) < 10:
        return int(word) == gpu.index
    return any(uuid.startswith(word) for uuid in (gpu.uuid or "", *(gpu.mig_devices or ())))


def _variable(facts: Facts, name: str) -> str | None:
    return next((one.value for one in facts.variables or () if one.name == name), None)
