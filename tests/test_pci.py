"""The PCI bus as /sys tells it, and Windows' display adapters as the registry does."""

import sys
from pathlib import Path

import pytest
from fakegpu.machine import FakeMachine

from envcheck.probes import pci, registry
from envcheck.probes.system import System

ADAPTERS = "/registry/HKLM/SYSTEM/CurrentControlSet/Control/Class/{4d36e968-e325-11ce-bfc1-08002be10318}"


@pytest.mark.parametrize(
    ("ids", "pci_class", "listed"),
    [
        ("10de:2204", "030000", True),
        ("10de:20b0", "030200", True),
        ("1002:744c", "030000", True),
        ("1002:74a1", "120000", True),
        ("8086:56a0", "030000", True),
        ("10de:22a3", "068000", True),
        ("10de:228b", "040300", False),
        ("8086:7d1d", "120000", False),
        ("8086:a0ef", "068000", False),
        ("144d:a808", "010802", False),
    ],
)
def test_what_is_a_gpu_and_what_is_not(tmp_path: Path, ids: str, pci_class: str, listed: bool) -> None:
    found = pci.scan(FakeMachine(tmp_path).pci(ids=ids, pci_class=pci_class).system())
    assert found is not None
    assert [(one.vendor + ":" + one.device, one.pci_class) for one in found] == ([(ids, pci_class)] if listed else [])


@pytest.mark.parametrize("driver", ["nvidia", "nouveau", "vfio-pci", None])
def test_the_driver_that_is_bound(tmp_path: Path, driver: str | None) -> None:
    found = pci.scan(FakeMachine(tmp_path).pci("0000:65:00.0", driver=driver).system())
    assert [(one.address, one.driver, one.revision) for one in found or ()] == [("0000:65:00.0", driver, "a1")]


def test_a_gpu_that_fell_off_the_bus_has_revision_ff(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).pci("0000:01:00.0", driver="nvidia").pci("0000:02:00.0", driver="nvidia", dead=True)
    assert [one.revision for one in pci.scan(machine.system()) or ()] == ["a1", "ff"]


def test_a_sleeping_gpu_is_not_woken(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).pci(dead=True)
    machine.file("/sys/bus/pci/devices/0000:01:00.0/power/runtime_status", "suspended\n")
    assert [one.revision for one in pci.scan(machine.system()) or ()] == ["a1"]


def test_nvswitches_are_counted(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).pci("0000:01:00.0")
    for number in range(4):
        machine.pci(f"0000:c{number}:00.0", "10de:22a3", pci_class="068000")
    assert pci.nvswitches(pci.scan(machine.system())) == 4
    assert pci.nvswitches(None) == 0


def test_no_bus_is_unknown_and_an_empty_one_is_none(tmp_path: Path) -> None:
    assert pci.scan(FakeMachine(tmp_path / "empty").system()) == ()
    assert pci.scan(System(tmp_path / "nowhere", {}, "linux")) is None
    assert pci.scan(System(tmp_path / "nowhere", {}, "darwin")) is None


@pytest.mark.parametrize("name", ["class", "vendor", "device", "revision", "config"])
@pytest.mark.parametrize("fault", [None, b"", b"\xff\xfe\x00", b"0x", b"0xzz", b"x" * 100000, "directory"])
def test_a_spoilt_file_of_one_device_spares_the_others(tmp_path: Path, name: str, fault: bytes | str | None) -> None:
    machine = FakeMachine(tmp_path).pci("0000:01:00.0").pci("0000:02:00.0", driver="nvidia")
    place = machine.at(f"/sys/bus/pci/devices/0000:01:00.0/{name}")
    place.unlink()
    if fault == "directory":
        place.mkdir()
    elif isinstance(fault, bytes):
        place.write_bytes(fault)
    found = pci.scan(machine.system())
    assert found is not None
    assert found[-1].address == "0000:02:00.0"
    assert found[-1].driver == "nvidia"


def test_windows_adapters(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.file(f"{ADAPTERS}/0000/@values", "MatchingDeviceId=PCI\\VEN_10DE&DEV_2204&SUBSYS_1\nProviderName=NVIDIA\n")
    machine.file(
        f"{ADAPTERS}/0001/@values", "MatchingDeviceId=pci\\ven_8086&dev_a780\nProviderName=Intel Corporation\n"
    )
    machine.file(f"{ADAPTERS}/0002/@values", "MatchingDeviceId=ROOT\\BasicDisplay\n")
    machine.file(f"{ADAPTERS}/Properties/@values", "")
    found = pci.scan(System(tmp_path, {}, "win32", "AMD64"))
    assert [(one.vendor, one.device, one.driver) for one in found or ()] == [
        ("10de", "2204", "nvidia"),
        ("8086", "a780", "intel corporation"),
    ]
    assert pci.scan(System(tmp_path / "empty", {}, "win32")) is None


def test_windows_display_driver_tells_its_version(tmp_path: Path) -> None:
    from envcheck.probes import driverfiles

    FakeMachine(tmp_path).file(f"{ADAPTERS}/0000/@values", "ProviderName=NVIDIA\nDriverVersion=31.0.15.5186\n")
    seen = driverfiles.look(System(tmp_path, {}, "win32"))
    assert [(one.value, one.look) for one in seen.driver_versions] == [("551.86", "files")]


class Winreg:
    """The three calls of winreg that are used, over a dictionary of keys."""

    HKEY_LOCAL_MACHINE, HKEY_CURRENT_USER = "HKLM", "HKCU"
    tree = {
        "HKLM\\A": {"Name": "value", "Number": 7},
        "HKLM\\A\\B": {},
        "HKLM\\A\\C": {},
        "HKCU\\X": {"Y": "z"},
    }

    class Key(str):
        def __enter__(self) -> "Winreg.Key":
            return self

        def __exit__(self, *error: object) -> None:
            """Closed."""

    def OpenKey(self, root: str, path: str) -> Key:  # noqa: N802 - winreg's name
        key = f"{root}\\{path}"
        if key not in self.tree:
            raise FileNotFoundError(key)
        return self.Key(key)

    def EnumValue(self, key: str, number: int) -> tuple[str, object, int]:  # noqa: N802 - winreg's name
        items = list(self.tree[key].items())
        if number >= len(items):
            raise OSError("no more data")
        return (*items[number], 1)

    def EnumKey(self, key: str, number: int) -> str:  # noqa: N802 - winreg's name
        below = [one.rsplit("\\", 1)[1] for one in self.tree if one.rsplit("\\", 1)[0] == key]
        if number >= len(below):
            raise OSError("no more data")
        return below[number]


def test_the_real_registry_is_read_through_winreg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "winreg", Winreg())
    system = System("/", {}, "win32")
    assert registry.values(system, "HKLM\\A") == {"Name": "value", "Number": "7"}
    assert registry.keys(system, "HKLM\\A") == ("B", "C")
    assert registry.values(system, "HKCU\\X") == {"Y": "z"}
    assert (registry.values(system, "HKLM\\none"), registry.keys(system, "HKLM\\none")) == ({}, ())


def test_no_registry_elsewhere() -> None:
    system = System("/", {}, "win32")
    assert (registry.values(system, "HKLM\\A"), registry.keys(system, "HKLM\\A")) == ({}, ())
