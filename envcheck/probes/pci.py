"""Display controllers, accelerators and NVSwitch bridges on the PCI bus, without a program's help.

Linux tells them in /sys/bus/pci; Windows names its display adapters in the registry. A scan costs about 1 ms.
"""

import re
from collections.abc import Iterator

from envcheck.model.facts import PciDevice
from envcheck.probes import registry
from envcheck.probes.system import System

NVIDIA, AMD, INTEL = "10de", "1002", "8086"
_BUS = "/sys/bus/pci/devices"
_ADAPTERS = r"HKLM\SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_DISPLAY, _BRIDGE, _ACCELERATOR = "03", "0680", "12"
MAX_DEVICES = 4096


def scan(system: System) -> tuple[PciDevice, ...] | None:
    """The devices by address; None when this machine does not say (a container without /sys, macOS)."""
    if system.windows:
        return tuple(_windows(system)) or None
    addresses = system.listdir(_BUS) if system.platform == "linux" else None
    if addresses is None:
        return None
    found = (_device(system, address) for address in addresses[:MAX_DEVICES])
    return tuple(device for device in found if device is not None)


def nvswitches(devices: tuple[PciDevice, ...] | None) -> int:
    """How many NVSwitch bridges there are."""
    return sum(one.vendor == NVIDIA and one.pci_class.startswith(_BRIDGE) for one in devices or ())


def _device(system: System, address: str) -> PciDevice | None:
    folder = f"{_BUS}/{address}"
    pci_class = _hex(system.read(f"{folder}/class", 64).text)
    if not pci_class.startswith((_DISPLAY, _BRIDGE, _ACCELERATOR)):
        return None
    vendor = _hex(system.read(f"{folder}/vendor", 64).text)
    if not pci_class.startswith(_DISPLAY) and (vendor, pci_class[:4]) != (NVIDIA, _BRIDGE) and vendor != AMD:
        return None
    driver = system.readlink(f"{folder}/driver")
    return PciDevice(
        address=address[:32],
        vendor=vendor,
        device=_hex(system.read(f"{folder}/device", 64).text),
        pci_class=pci_class,
        driver=driver.rstrip("/").rsplit("/", 1)[-1] if driver else None,
        revision=_revision(system, folder, vendor),
    )


def _revision(system: System, folder: str, vendor: str) -> str | None:
    """The revision; `ff` when a NVIDIA device no longer answers on the bus.

    The `revision` file remembers what was there at boot, so the device itself is asked, unless it sleeps: reading
    its configuration would wake it.
    """
    known = _hex(system.read(f"{folder}/revision", 64).text) or None
    state = (system.read(f"{folder}/power/runtime_status", 64).text or "").strip()
    if vendor != NVIDIA or state in ("suspended", "suspending", "resuming"):
        return known
    data, _ = system.read_bytes(f"{folder}/config", 64)
    if data and len(data) >= 16 and set(data[:16]) == {0xFF}:
        return "ff"
    return known


def _windows(system: System) -> Iterator[PciDevice]:
    for number in registry.keys(system, _ADAPTERS):
        adapter = registry.values(system, rf"{_ADAPTERS}\{number}") if number.isdigit() else {}
        ids = re.search(r"ven_([0-9a-f]{4})&dev_([0-9a-f]{4})", adapter.get("MatchingDeviceId", "").lower())
        if ids:
            driver = (adapter.get("ProviderName") or "").lower() or None
            yield PciDevice(address=number, vendor=ids[1], device=ids[2], pci_class="030000", driver=driver)


def _hex(text: str | None) -> str:
    """`10de` of `0x10de`; empty when the text is no number."""
    word = (text or "").strip().lower().removeprefix("0x")
    return word if re.fullmatch(r"[0-9a-f]{1,8}", word) else ""
