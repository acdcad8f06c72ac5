"""What files say of the NVIDIA driver, without a call into it: modules, versions, GPUs, device nodes, packages.

All of it together takes a few milliseconds and works when the driver itself hangs.
"""

import re
import time
from collections.abc import Iterator
from typing import Literal

from envcheck.model.base import Plain
from envcheck.model.facts import DeviceNode, Gpu, KernelModule, Observation, Sighting
from envcheck.model.patterns import regex
from envcheck.probes import registry
from envcheck.probes.nvmlfacts import driver_version, pci_address
from envcheck.probes.outcome import since
from envcheck.probes.system import System, within

MODULES = ("nvidia", "nvidia_uvm", "nouveau", "amdgpu", "vfio_pci")
Flavour = Literal["open", "proprietary"]
_SYS_VERSION, _PROC_VERSION = "/sys/module/nvidia/version", "/proc/driver/nvidia/version"
_GPUS = "/proc/driver/nvidia/gpus"
_NVRM = regex(r"(Open )?Kernel Module\s+(?:for\s+\S{1,32}\s+)?(\d{2,4}(?:\.\d{1,4}){1,3})(?![\w.])")
_MODULE_FILE = regex(
    r"(?:^|/)nvidia(?:[-_](?:current|open|tesla|legacy|server|uvm|modeset|drm|peermem)[\w.-]{0,64})?\.ko(?:\.[a-z0-9]{2,4})?$"
)
_LISTED = regex(rb"^([^:\n]*/nvidia[^/:\n]{0,64}\.ko[^/:\n]{0,8}):", re.MULTILINE)
_PACKAGE = regex(
    r"(?:nvidia-(?:driver|dkms|kernel|utils|open|headless|fabricmanager|compute|container-toolkit|persistenced)"
    r"|libnvidia-(?:compute|ml)|libcuda1|cuda-(?:drivers|compat)|linux-modules-nvidia|nvidia(?=$|-lts|-dkms))"
)
_BEGINNINGS = regex(rb"\nPackage: (?:(?:lib)?nvidia|libcuda|cuda-|linux-modules-nvidia)")
_NODES_BEGIN = ("nvidia", "dxg", "nvhost", "nvmap")
_NODES = regex(r"nvidia(?:\d{1,4}|ctl|-uvm|-uvm-tools|-modeset|-caps)?|dxg|nvhost-ctrl-gpu|nvhost-gpu|nvmap")
MAX_GPUS = 64
OPEN_LIMIT = 1.0


class Seen(Plain, frozen=True):
    """What the files said; None: they could not be looked at."""

    modules: tuple[KernelModule, ...] | None
    driver_versions: tuple[Sighting, ...]
    gpus: tuple[Gpu, ...]
    nodes: tuple[DeviceNode, ...] | None
    packages: tuple[str, ...] | None
    module_files: tuple[str, ...] | None
    observation: Observation


def look(system: System) -> Seen:
    """Read them all."""
    begun = time.monotonic()
    troubles: list[str] = []
    versions, flavour = _versions(system, troubles)
    return Seen(
        modules=_modules(system, versions, flavour),
        driver_versions=versions,
        gpus=tuple(_gpus(system, troubles)),
        nodes=nodes(system),
        packages=_packages(system),
        module_files=_module_files(system),
        observation=Observation(
            look="files",
            state="failed" if troubles else "ok",
            ms=since(begun),
            detail="; ".join(troubles[:8]) or None,
        ),
    )


def parse_driver_version(text: str) -> tuple[str | None, Flavour | None]:
    """Version and flavour of the module from /proc/driver/nvidia/version; every format from 169 to 615."""
    match = next((found for line in text.splitlines()[:64] if (found := _NVRM.search(line[:1024]))), None)
    if match is None:
        return None, None
    return match[2], "open" if match[1] else "proprietary"


def parse_information(text: str) -> dict[str, str]:
    """`{"model": ..., "gpu uuid": ...}` of /proc/driver/nvidia/gpus/*/information."""
    lines = (line.partition(":") for line in text.splitlines()[:64])
    return {key.strip().lower(): value.strip()[:256] for key, mark, value in lines if mark}


def nodes(system: System, open_within: float = 0.0) -> tuple[DeviceNode, ...] | None:
    """The nodes below /dev that CUDA opens.

    `open_within` seconds are for opening them too, which starts sleeping GPUs: only after something went wrong.
    A node that does not come back ends that (`ETIMEDOUT`).
    """
    names = system.listdir("/dev") if system.platform == "linux" else None
    if names is None:
        return None
    until = time.monotonic() + min(open_within, OPEN_LIMIT)
    found: list[DeviceNode | None] = []
    ours = (name for name in names if name.startswith(_NODES_BEGIN) and name != "nvidia-caps")
    for path in [f"/dev/{name}" for name in ours if _NODES.fullmatch(name)][:MAX_GPUS]:
        left = until - time.monotonic()
        opened = _opened(system, path, left) if left > 0 else None
        found.append(opened or system.node(path))
    return tuple(node for node in found if node is not None)


def _opened(system: System, path: str, limit: float) -> DeviceNode:
    opened = within(limit, lambda: system.node(path, try_open=True))
    return opened or DeviceNode(path=path, error="ETIMEDOUT")


def _versions(system: System, troubles: list[str]) -> tuple[tuple[Sighting, ...], Flavour | None]:
    if system.windows:
        return tuple(_windows_versions(system)), None
    found: list[Sighting] = []
    flavour: Flavour | None = None
    for path in (_SYS_VERSION, _PROC_VERSION):
        read = system.read(path)
        if read.text is None:
            if read.error not in ("ENOENT", "ENOTDIR"):
                troubles.append(f"{path}: {read.error}")
            continue
        version, says = (read.text.strip(), None) if path == _SYS_VERSION else parse_driver_version(read.text)
        flavour = says or flavour
        if version is None or driver_version(version) is None:
            troubles.append(f"{path}: not understood: {read.text.strip()[:80]!r}")
        elif version not in [seen.value for seen in found]:
            found.append(Sighting(value=version, look="files", where=path))
    return tuple(found), flavour


def _windows_versions(system: System) -> Iterator[Sighting]:
    """The display driver's version: the last five digits of the registry's `31.0.15.5186` are 551.86."""
    adapters = r"HKLM\SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
    for number in registry.keys(system, adapters):
        adapter = registry.values(system, rf"{adapters}\{number}")
        digits = adapter.get("DriverVersion", "").replace(".", "")[-5:]
        if "nvidia" in adapter.get("ProviderName", "").lower() and re.fullmatch(r"\d{5}", digits):
            where = f"registry, display adapter {number}"
            yield Sighting(value=f"{digits[:3]}.{digits[3:]}", look="files", where=where)
            return


def _modules(
    system: System, versions: tuple[Sighting, ...], flavour: Flavour | None
) -> tuple[KernelModule, ...] | None:
    loaded = system.listdir("/sys/module") if system.platform == "linux" else None
    if loaded is None and not versions:
        return None
    names = set(loaded or ())
    version = versions[0].value if versions else None
    return tuple(
        KernelModule(name=name, loaded=name in names or version is not None, version=version, flavour=flavour)
        if name == "nvidia"
        else KernelModule(name=name, loaded=name in names)
        for name in MODULES
        if loaded is not None or name == "nvidia"
    )


def _gpus(system: System, troubles: list[str]) -> Iterator[Gpu]:
    addresses = system.listdir(_GPUS) or ()
    for index, address in enumerate(addresses[:MAX_GPUS]):
        read = system.read(f"{_GPUS}/{address}/information")
        if read.text is None:
            troubles.append(f"{_GPUS}/{address}/information: {read.error}")
            continue
        told = parse_information(read.text)
        uuid = told.get("gpu uuid", "")
        yield Gpu(
            index=index,
            name=told.get("model") or None,
            uuid=uuid if uuid.startswith("GPU-") and "?" not in uuid else None,
            pci_address=pci_address(told.get("bus location")) or pci_address(address),
            error="EXCLUDED" if told.get("gpu excluded", "").lower() == "yes" else None,
            error_call=f"{_GPUS}/{address}/information" if told.get("gpu excluded", "").lower() == "yes" else None,
            look="files",
        )


def _module_files(system: System) -> tuple[str, ...] | None:
    """Module files for the running kernel, from what depmod listed."""
    release = (system.read("/proc/sys/kernel/osrelease").text or "").strip()
    if system.platform != "linux" or not release or "/" in release:
        return None
    folder = f"/lib/modules/{release}"
    data, _ = system.read_bytes(f"{folder}/modules.dep", 8 << 20)
    if data is None:
        return None
    listed = (path.decode("utf-8", "replace") for path in _LISTED.findall(data))
    return tuple(f"{folder}/{path}" for path in listed if _MODULE_FILE.search(path))[:16]


def _packages(system: System) -> tuple[str, ...] | None:
    """Driver packages that dpkg or pacman has installed; rpm's database needs rpm, so None there."""
    if system.platform != "linux":
        return None
    data, _ = system.read_bytes("/var/lib/dpkg/status", 32 << 20)
    if data is not None:
        return tuple(_dpkg(data))[:64]
    local = system.listdir("/var/lib/pacman/local")
    if local is None:
        return None
    parts = (name.rsplit("-", 2) for name in local)
    return tuple(f"{part[0]} {part[1]}-{part[2]}" for part in parts if len(part) == 3 and _PACKAGE.match(part[0]))[:64]


def _dpkg(status: bytes) -> Iterator[str]:
    """Installed driver packages of dpkg's status file, which holds thousands of stanzas: only theirs are parsed."""
    text = b"\n" + status
    for beginning in _BEGINNINGS.finditer(text):
        stanza = text[beginning.start() + 1 : text.find(b"\n\n", beginning.end()) % (len(text) + 1)]
        name = stanza[9:128].partition(b"\n")[0].decode("utf-8", "replace")
        if not _PACKAGE.match(name):
            continue
        fields = dict(_field(line) for line in stanza.decode("utf-8", "replace").splitlines()[:64])
        if fields.get("Status", "").endswith(" installed"):
            yield f"{name} {fields['Version']}"[:128] if "Version" in fields else name


def _field(line: str) -> tuple[str, str]:
    key, _, value = line.partition(": ")
    return key, value
