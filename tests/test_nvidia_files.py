"""What files say of the driver: real texts of ten years of drivers, and every file in every state it can be in."""

import os
from pathlib import Path

import pytest
from fakegpu.machine import DRIVER, OPEN, FakeMachine
from hypothesis import given
from hypothesis import strategies as st

from envcheck.probes import driverfiles

RAW = Path(__file__).parent / "raw" / "driver"
VERSION_TEXTS = sorted((RAW / "proc_version").iterdir())


@pytest.mark.parametrize("path", VERSION_TEXTS, ids=lambda path: path.stem)
def test_version_and_flavour_of_every_driver(path: Path) -> None:
    version, _, rest = path.stem.partition("-")
    flavour = "open" if rest.startswith("open") else "proprietary"
    assert driverfiles.parse_driver_version(path.read_text(encoding="utf-8")) == (version, flavour)


def test_the_texts_cover_the_branches() -> None:
    majors = {path.stem.split(".")[0] for path in VERSION_TEXTS}
    assert {"375", "384", "390", "418", "450", "470", "515", "525", "550", "565", "580", "595", "610"} <= majors


@pytest.mark.parametrize(
    "text", ["", "\n\n", "NVRM version:", "Kernel Module", "NVRM version: nothing 1.2.3", "x" * 70000]
)
def test_a_version_file_of_something_else(text: str) -> None:
    assert driverfiles.parse_driver_version(text) == (None, None)


@given(st.text())
def test_any_version_file_is_borne(text: str) -> None:
    version, flavour = driverfiles.parse_driver_version(text)
    assert (version is None) == (flavour is None)


@given(st.text())
def test_any_information_file_is_borne(text: str) -> None:
    assert all(key == key.strip().lower() for key in driverfiles.parse_information(text))


@pytest.mark.parametrize(
    ("name", "model", "uuid", "error"),
    [
        ("geforce-gtx-650-no-minor", "GeForce GTX 650", True, None),
        ("tesla-p100-bios-unknown", "Tesla P100-SXM2-16GB", False, "EXCLUDED"),
        ("v100-sxm2", "Tesla V100-SXM2-16GB", True, None),
        ("h100-hbm3", "NVIDIA H100 80GB HBM3", True, None),
        ("a10g", "NVIDIA A10G", True, None),
    ],
)
def test_gpus_that_only_files_know(tmp_path: Path, name: str, model: str, uuid: bool, error: str | None) -> None:
    machine = FakeMachine(tmp_path).driver(gpus=0)
    text = (RAW / "information" / f"{name}.txt").read_text(encoding="utf-8")
    address = driverfiles.parse_information(text)["bus location"]
    found, looks, _ = machine.information(address, text).look()
    assert found.gpus is not None
    gpu = found.gpus[0]
    assert (gpu.name, gpu.look, gpu.error, gpu.uuid is not None) == (model, "files", error, uuid)
    assert gpu.pci_address == f"0000{address}"
    assert looks["files"].state == "ok"
    assert looks["nvml"].state == "absent"


def test_nvmls_list_counts_before_the_files(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).healthy(0)
    machine.information("0000:01:00.0", "Model: \t\t GeForce GTX 650\n")
    assert machine.look()[0].gpus == ()


# Every file in every state -----------------------------------------------------------------------------------------

FILES = (
    "/sys/module/nvidia/version",
    "/proc/driver/nvidia/version",
    "/proc/driver/nvidia/gpus/0000:01:00.0/information",
    "/proc/sys/kernel/osrelease",
    "/lib/modules/6.8.0-45-generic/modules.dep",
    "/var/lib/dpkg/status",
)
FAULTS = ("absent", "empty", "binary", "huge", "directory", "loop", "dangling", "partial", "forbidden")


def spoil(machine: FakeMachine, path: str, fault: str) -> None:
    place = machine.at(path)
    text = place.read_bytes()
    place.unlink()
    if fault == "directory":
        place.mkdir()
    elif fault == "loop":
        place.symlink_to(place.name)
    elif fault == "dangling":
        place.symlink_to("nowhere")
    elif fault == "forbidden":
        machine.file(path, text, 0o000)
    elif fault != "absent":
        content = {
            "empty": b"",
            "binary": bytes(range(256)) * 8,
            "huge": text + b"\n#" * (5 << 20),
            "partial": text[:7],
        }
        machine.file(path, content[fault])


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", FILES)
def test_a_spoilt_file_spoils_nothing_else(tmp_path: Path, path: str, fault: str) -> None:
    machine = FakeMachine(tmp_path).healthy(1)
    machine.information("0000:01:00.0", (RAW / "information" / "a10g.txt").read_text(encoding="utf-8"))
    machine.file("/lib/modules/6.8.0-45-generic/modules.dep", "updates/dkms/nvidia.ko.zst: kernel/drivers/x.ko.zst\n")
    machine.file("/var/lib/dpkg/status", "Package: nvidia-driver-550\nStatus: install ok installed\nVersion: 550.54\n")
    spoil(machine, path, fault)
    found, looks, _ = machine.look()
    assert [gpu.name for gpu in found.gpus or ()] == ["NVIDIA GeForce RTX 3090"]
    assert looks["nvml"].state == "ok"
    assert looks["files"].state in ("ok", "failed")
    if looks["files"].state == "failed":
        assert path in (looks["files"].detail or "")
    driver = path in FILES[:2]
    if driver and fault in ("binary", "directory", "loop", "partial", "empty"):
        assert looks["files"].state == "failed"
    versions = [seen.where for seen in found.driver_versions if seen.look == "files"]
    assert len(versions) == 1  # the other of the two files tells it
    assert found.packages in (("nvidia-driver-550 550.54",), (), None)


def test_both_version_files_that_disagree_are_kept(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).driver("550.54.15").module("nvidia", "535.183.01")
    found, _, _ = machine.look()
    assert [(seen.value, seen.where) for seen in found.driver_versions] == [
        ("535.183.01", "/sys/module/nvidia/version"),
        ("550.54.15", "/proc/driver/nvidia/version"),
    ]


# Modules, nodes, packages ------------------------------------------------------------------------------------------


def modules(machine: FakeMachine) -> dict[str, bool]:
    return {module.name: module.loaded for module in machine.look()[0].modules or ()}


def test_modules(tmp_path: Path) -> None:
    assert not any(modules(FakeMachine(tmp_path / "bare")).values())
    assert modules(FakeMachine(tmp_path / "healthy").healthy(1)) == {
        "nvidia": True,
        "nvidia_uvm": True,
        "nouveau": False,
        "amdgpu": False,
        "vfio_pci": False,
    }
    others = FakeMachine(tmp_path / "others").module("nouveau").module("vfio_pci").module("amdgpu")
    assert modules(others) == {"nvidia": False, "nvidia_uvm": False, "nouveau": True, "amdgpu": True, "vfio_pci": True}


def test_the_modules_flavour_and_version(tmp_path: Path) -> None:
    found, _, _ = FakeMachine(tmp_path).driver("570.86.15", text=OPEN).look()
    nvidia = (found.modules or ())[0]
    assert (nvidia.version, nvidia.flavour) == ("570.86.15", "open")


def test_module_files_of_the_running_kernel(tmp_path: Path) -> None:
    listed = (
        "kernel/drivers/video/fbdev/nvidia/nvidiafb.ko.zst:\n"
        "kernel/drivers/platform/x86/nvidia-wmi-ec-backlight.ko.zst:\n"
        "kernel/drivers/i2c/busses/i2c-nvidia-gpu.ko.zst:\n"
        "updates/dkms/nvidia.ko.zst: kernel/drivers/acpi/video.ko.zst\n"
        "updates/dkms/nvidia-uvm.ko.zst: updates/dkms/nvidia.ko.zst\n"
        "updates/dkms/nvidia-current.ko:\n"
    )
    machine = FakeMachine(tmp_path).file("/lib/modules/6.8.0-45-generic/modules.dep", listed)
    machine.file("/lib/modules/6.5.0-1-generic/modules.dep", "updates/dkms/nvidia.ko.zst:\n")
    folder = "/lib/modules/6.8.0-45-generic/updates/dkms"
    expected = (f"{folder}/nvidia.ko.zst", f"{folder}/nvidia-uvm.ko.zst", f"{folder}/nvidia-current.ko")
    assert machine.look()[0].modeset_files == expected
    assert FakeMachine(tmp_path / "other", kernel="6.9").look()[0].modeset_files is None
    bare = FakeMachine(tmp_path / "bare").file("/lib/modules/6.8.0-45-generic/modules.dep", "kernel/fs/ext4.ko:\n")
    assert bare.look()[0].modeset_files == ()


def test_packages_that_dpkg_has_installed(tmp_path: Path) -> None:
    status = (
        "Package: bash\nStatus: install ok installed\nVersion: 5.2\n\n"
        "Package: nvidia-compute-utils-450\nStatus: deinstall ok config-files\nVersion: 450.102.04\n\n"
        "Package: nvidia-driver-535\nStatus: install ok installed\nSection: x\nVersion: 535.183.01-0ubuntu0\n\n"
        "Package: libnvidia-ml-dev\nStatus: install ok half-configured\nVersion: 12\n\n"
        "Package: libcuda1\nStatus: install ok installed\nVersion: 535.183.01-1\n"
    )
    machine = FakeMachine(tmp_path).file("/var/lib/dpkg/status", status)
    assert machine.look()[0].packages == ("nvidia-driver-535 535.183.01-0ubuntu0", "libcuda1 535.183.01-1")


def test_packages_that_pacman_has_installed(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    for name in ("nvidia-open-dkms-610.43.03-1", "nvidia-utils-610.43.03-2", "linux-7.0.12-1", "nvidia-settings-610-1"):
        machine.file(f"/var/lib/pacman/local/{name}/desc")
    assert machine.look()[0].packages == ("nvidia-open-dkms 610.43.03-1", "nvidia-utils 610.43.03-2")
    assert FakeMachine(tmp_path / "rpm").look()[0].packages is None


def test_device_nodes(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).healthy(2).file("/dev/nvidia-modeset").file("/dev/null").file("/dev/nvme0n1")
    nodes = {node.path: node for node in machine.look()[0].nodes or ()}
    assert sorted(nodes) == [f"/dev/nvidia{end}" for end in ("-modeset", "-uvm", "0", "1", "ctl")]
    assert all(node.error is None for node in nodes.values())


@pytest.mark.parametrize("code", [4, 9, 17, 999])
def test_nodes_are_opened_when_nvml_was_refused(tmp_path: Path, code: int) -> None:
    """A control group shows only at open(2); a socket in the node's place refuses like one without a device."""
    import socket

    machine = FakeMachine(tmp_path).healthy(1, f"nvmlInit_v2={code}")
    machine.at("/dev/nvidia0").unlink()
    with socket.socket(socket.AF_UNIX) as node:
        folder = tmp_path / "dev"
        descriptor = os.open(folder, 0)
        node.bind(f"/proc/self/fd/{descriptor}/nvidia0")
        errors = {node.path: node.error for node in machine.look()[0].nodes or ()}
        os.close(descriptor)
    assert errors == {"/dev/nvidia-uvm": None, "/dev/nvidia0": "ENXIO", "/dev/nvidiactl": None}


# The kernel's log --------------------------------------------------------------------------------------------------

LOG = (
    "[    1.0] Linux version 6.8.0\n"
    "[    5.1] nvidia: module verification failed: signature and/or required key missing - tainting kernel\n"
    "[    9.2] usb 1-1: new device\n"
    "[   99.9] NVRM: Xid (PCI:0000:01:00): 79, pid=1234, GPU has fallen off the bus.\n"
)


def test_the_kernel_is_asked_when_something_is_wrong(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).healthy(1, "nvmlDeviceGetHandleByIndex_v2=15").file("/log", LOG)
    machine.program("dmesg", f"cat '{tmp_path}/log'\n")
    _, looks, messages = machine.look()
    assert looks["kernel"].state == "ok"
    assert [(message.kind, message.look, message.where) for message in messages] == [("log", "kernel", "dmesg")]
    assert messages[0].text.splitlines() == [LOG.splitlines()[1], LOG.splitlines()[3]]


def test_the_journal_is_asked_where_dmesg_is_refused(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).driver().file("/log", LOG)
    machine.program("dmesg", "echo 'dmesg: read kernel buffer failed: Operation not permitted' >&2; exit 1\n")
    machine.program("journalctl", f"cat '{tmp_path}/log'\n")
    _, looks, messages = machine.look()
    assert looks["kernel"].state == "ok"
    assert messages[0].where == "journalctl"


def test_a_log_that_may_not_be_read_is_no_failure(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).driver()
    machine.program("dmesg", "echo 'dmesg: read kernel buffer failed: Operation not permitted' >&2; exit 1\n")
    seen = machine.look()[1]["kernel"]
    assert (seen.state, "Operation not permitted" in (seen.detail or "")) == ("skipped", True)


@pytest.mark.parametrize("make", [lambda m: m.healthy(1), lambda m: m, lambda m: m.pci(ids="8086:56a0")])
def test_a_healthy_machine_and_one_without_nvidia_leave_the_kernel_in_peace(tmp_path: Path, make: object) -> None:
    machine = FakeMachine(tmp_path).program("dmesg", "touch /proof\n")
    assert "kernel" not in make(machine).look()[1]  # type: ignore[operator]


def test_the_version_of_the_module_is_the_machines_driver(tmp_path: Path) -> None:
    found, _, _ = FakeMachine(tmp_path).healthy(1).look()
    assert found.driver_versions[0].value == DRIVER
