"""The operating system, the processor, the memory, and what stands around them: files and variables, a few ms."""

import os
import re
import sys
import time
from typing import Literal

from envcheck.model.facts import OS, Disk, Host, Observation, PciDevice
from envcheck.probes import pci as bus
from envcheck.probes import registry, surroundings
from envcheck.probes.outcome import since
from envcheck.probes.system import System

Libc = Literal["glibc", "musl", "none"]
_OS_NAMES: dict[str, OS] = {"linux": "linux", "win32": "windows", "darwin": "macos"}
_FLAGS = (
    *("sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_tile", "amx_bf16"),
    *("neon", "asimd", "asimdhp", "sve", "sve2", "bf16", "i8mm", "vsx"),
)
_LANGUAGE = ("LC_ALL", "LC_MESSAGES", "LANGUAGE", "LANG")
_MICROSOFT = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion"
_MACHINE_KEY = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_FABRIC_MANAGER = "nvidia-fabricmanager.service"
_UNIT_FOLDERS = ("/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system")
_CGROUPS = ("/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice")
SYSTEMCTL_LIMIT = 2.0


def look(system: System) -> tuple[Host, tuple[PciDevice, ...] | None, tuple[Observation, ...]]:
    """The host and its PCI devices."""
    begun = time.monotonic()
    devices = bus.scan(system)
    scanned = Observation(
        look="pci",
        state="ok" if devices is not None else "skipped" if system.platform == "darwin" else "absent",
        ms=since(begun),
        detail=None if devices is not None else "this system does not show its PCI bus",
    )
    begun = time.monotonic()
    host = _host(system, devices)
    known = host.kernel is not None or system.platform != "linux"
    seen = Observation(
        look="host",
        state="ok" if known else "failed",
        ms=since(begun),
        detail=None if known else f"/proc/sys/kernel/osrelease: {system.read('/proc/sys/kernel/osrelease').error}",
    )
    return host, devices, (seen, scanned)


def with_target(system: System, seen: Host, prefix: str | None) -> Host:
    """The host, and the free space at `prefix`, where the examined interpreter's packages lie."""
    import msgspec

    free = system.unrooted().free_bytes(prefix) if prefix else None
    if prefix is None or free is None:
        return seen
    return msgspec.structs.replace(seen, disks=(Disk(role="target", path=prefix, free_bytes=free), *(seen.disks or ())))


def _host(system: System, devices: tuple[PciDevice, ...] | None) -> Host:
    libc, libc_version = _libc(system)
    model, flags = _cpu(system)
    is_jetson, jetson_release = surroundings.jetson(system)
    scheduler, scheduler_gpus = surroundings.scheduler(system)
    container = surroundings.container(system)
    return Host(
        os=_OS_NAMES.get(system.platform, "other"),
        os_name=_os_name(system),
        kernel=_kernel(system),
        machine=_machine(system),
        libc=libc,
        libc_version=libc_version,
        cpu_model=model,
        cpu_flags=flags,
        memory_bytes=_memory(system),
        wsl=surroundings.wsl(system),
        container=container,
        jetson=is_jetson,
        jetson_release=jetson_release,
        secure_boot=_secure_boot(system, container),
        scheduler=scheduler,
        scheduler_gpus=scheduler_gpus,
        groups=system.groups(),
        admin=system.admin(),
        fabric_manager=_fabric_manager(system, devices, container),
        disks=_disks(system),
        language=_language(system),
        time_zone=_time_zone(system),
    )


# The operating system ------------------------------------------------------------------------------------------------


def _os_name(system: System) -> str | None:
    if system.windows:
        return _windows_name(system)
    if system.platform == "darwin":
        text = system.read("/System/Library/CoreServices/SystemVersion.plist").text or ""
        version = re.search(r"<key>ProductVersion</key>\s*<string>([\d.]{1,16})</string>", text)
        return f"macOS {version[1]}" if version else "macOS"
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        for line in (system.read(path).text or "").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "PRETTY_NAME" and value.strip("\"' "):
                return value.strip("\"' ")[:128]
    return (system.read("/etc/redhat-release", 256).text or "").strip() or None


def _windows_name(system: System) -> str:
    """The registry's product name still says Windows 10 on Windows 11; Python's own table knows better."""
    told = registry.values(system, _MICROSOFT)
    name = told.get("ProductName", "Windows")
    if sys.platform == "win32" and not system.fake:
        import platform

        name = re.sub(r"^Windows \d+", f"Windows {platform.release()}", name)
    return " ".join(part for part in (name, told.get("DisplayVersion", "")) if part)


def _kernel(system: System) -> str | None:
    if system.platform == "linux":
        return surroundings.kernel_release(system)
    if system.windows:
        told = registry.values(system, _MICROSOFT)
        parts = (told.get("CurrentMajorVersionNumber"), told.get("CurrentMinorVersionNumber"), told.get("CurrentBuild"))
        return ".".join(part for part in parts if part) or None
    return None if system.fake or not hasattr(os, "uname") else os.uname().release


def _machine(system: System) -> str:
    """The processor's architecture; to an emulated program Windows on Arm says its own, the registry the machine's."""
    told = registry.values(system, _MACHINE_KEY).get("PROCESSOR_ARCHITECTURE", "") if system.windows else ""
    return {"amd64": "x86_64", "arm64": "arm64", "x86": "i686"}.get(told.lower(), system.machine)


def _libc(system: System) -> tuple[Libc | None, str | None]:
    """The C library of the machine: what our own process runs on, on a fake root what its files say."""
    if system.platform != "linux":
        return "none", None
    if not system.fake:
        told = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
        if told and told.startswith("glibc "):
            return "glibc", told.removeprefix("glibc ")
    for folder in (f"/lib/{system.machine}-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"):
        data, _ = system.read_bytes(f"{folder}/libc.so.6", 8 << 20)
        version = re.search(rb"GNU C Library [^\n]{0,80}?version (\d{1,2}\.\d{1,3})", data or b"")
        if version:
            return "glibc", version[1].decode()
    musl = any(name.startswith("ld-musl-") for name in system.listdir("/lib") or ())
    return ("musl", None) if musl else (None, None)


def _cpu(system: System) -> tuple[str | None, tuple[str, ...] | None]:
    """Model and the flags that matter. Only the first processors are read: each one costs the kernel time."""
    if system.windows:
        key = r"HKLM\HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        return registry.values(system, key).get("ProcessorNameString", "").strip() or None, None
    if system.platform == "darwin":
        ran = system.run(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], limit=1.0)
        return ran.stdout.strip()[:128] or None, ("neon",) if system.machine == "arm64" else None
    fields: dict[str, str] = {}
    for line in (system.read("/proc/cpuinfo", 8192).text or "").splitlines():
        key, mark, value = line.partition(":")
        if mark:
            fields.setdefault(key.strip().lower(), value.strip())
    listed = fields.get("flags") or fields.get("features")
    model = next((fields[key] for key in ("model name", "cpu model", "cpu", "hardware") if fields.get(key)), None)
    flags = tuple(flag for flag in _FLAGS if flag in set(listed.split())) if listed else None
    return model[:128] if model else None, flags


def _memory(system: System) -> int | None:
    if system.platform == "linux":
        match = re.search(r"^MemTotal:\s{1,32}(\d{1,16}) kB", system.read("/proc/meminfo").text or "", re.MULTILINE)
        return int(match[1]) * 1024 if match else None
    if system.platform == "darwin":
        ran = system.run(["/usr/sbin/sysctl", "-n", "hw.memsize"], limit=1.0)
        return int(ran.stdout) if re.fullmatch(r"\d{1,16}\s*", ran.stdout) else None
    return system.memory_bytes() if system.windows else None


def _secure_boot(system: System, container: str | None) -> bool | None:
    """Whether unsigned kernel modules are refused; None when the firmware does not show it here."""
    if system.windows:
        told = registry.values(system, r"HKLM\SYSTEM\CurrentControlSet\Control\SecureBoot\State")
        state = told.get("UEFISecureBootEnabled")
        return None if state is None else state == "1"
    if system.platform != "linux":
        return None
    data, _ = system.read_bytes(_SECURE_BOOT, 64)
    if data:
        return data[-1] == 1
    no_efi = system.exists("/sys/firmware") and not system.exists("/sys/firmware/efi")
    return False if no_efi and container == "none" else None


def _fabric_manager(system: System, devices: tuple[PciDevice, ...] | None, container: str | None) -> str | None:
    """The state of NVIDIA's fabric manager where there is an NVSwitch, or where it is installed."""
    unit = any(system.exists(f"{folder}/{_FABRIC_MANAGER}") for folder in _UNIT_FOLDERS)
    if system.platform != "linux" or not (unit or bus.nvswitches(devices)):
        return None
    if any(system.exists(f"{folder}/{_FABRIC_MANAGER}") for folder in _CGROUPS):
        return "active"
    if container not in ("none", None):
        return None  # it runs outside, and its state does not show in here
    systemctl = system.which("systemctl") if unit else None
    if systemctl is None:
        return "absent" if not unit else None
    said = system.run([systemctl, "is-active", _FABRIC_MANAGER], limit=SYSTEMCTL_LIMIT).stdout.strip()
    return said if said in ("active", "inactive", "failed") else None


# The person's surroundings ------------------------------------------------------------------------------------------


def _disks(system: System) -> tuple[Disk, ...]:
    """Free space for temporary files and for the package cache; the target's is known to the look at its Python."""
    home = system.home()
    temporary = next((value for name in ("TMPDIR", "TEMP", "TMP") if (value := system.env(name))), "/tmp")  # noqa: S108 - asked, not written to
    caches = "Library/Caches" if system.platform == "darwin" else ".cache"
    fallback = f"{home}/{caches}/pip" if home else None
    cache = system.env("PIP_CACHE_DIR") or (f"{at}/pip" if (at := system.env("XDG_CACHE_HOME")) else fallback)
    if system.windows and (local := system.env("LOCALAPPDATA")):
        cache = system.env("PIP_CACHE_DIR") or f"{local}\\pip\\Cache"
    found = ((role, path, system.free_bytes(path)) for role, path in (("temp", temporary), ("cache", cache)) if path)
    return tuple(Disk(role=role, path=path, free_bytes=free) for role, path, free in found if free is not None)


def _language(system: System) -> str | None:
    told = next((value for name in _LANGUAGE if (value := system.env(name))), None)
    if told is None and system.windows:
        told = registry.values(system, r"HKCU\Control Panel\International").get("LocaleName")
    return told[:64] if told else None


def _time_zone(system: System) -> str | None:
    if system.windows:
        key = r"HKLM\SYSTEM\CurrentControlSet\Control\TimeZoneInformation"
        return registry.values(system, key).get("TimeZoneKeyName") or None
    told = (system.env("TZ") or "").lstrip(":") or (system.read("/etc/timezone", 128).text or "").strip()
    link = system.readlink("/etc/localtime") or ""
    zone = told or (link.split("zoneinfo/", 1)[1] if "zoneinfo/" in link else "")
    return zone[:64] or None
