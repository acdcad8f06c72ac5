"""The host and what stands around it, on machines of every kind."""

from pathlib import Path

import msgspec
import pytest
from fakegpu.machine import FakeMachine

from envcheck.model.facts import Host
from envcheck.probes import host
from envcheck.probes.system import System

RAW = Path(__file__).parent / "raw" / "driver" / "nv_tegra_release"


def look(machine: FakeMachine) -> Host:
    return host.look(machine.system())[0]


def test_a_plain_machine(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).file(
        "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", b"\6\0\0\0\1"
    )
    seen = look(machine)
    assert (seen.os, seen.os_name, seen.kernel, seen.machine) == (
        "linux",
        "Ubuntu 22.04.4 LTS",
        "6.8.0-45-generic",
        "x86_64",
    )
    assert (seen.libc, seen.libc_version) == ("glibc", "2.35")
    assert (seen.cpu_model, seen.cpu_flags) == ("Fake CPU @ 3.00GHz", ("sse4_2", "avx", "fma", "avx2"))
    assert seen.memory_bytes == 65536000 * 1024
    assert (seen.wsl, seen.container, seen.jetson, seen.scheduler) == (False, "none", False, "none")
    assert (seen.secure_boot, seen.language, seen.time_zone) == (True, "en_US.UTF-8", "Europe/London")
    assert [(disk.role, disk.path) for disk in seen.disks or ()] == [
        ("temp", f"{tmp_path}/tmp"),
        ("cache", "/home/ada/.cache/pip"),
    ]
    assert (seen.fabric_manager, seen.scheduler_gpus, seen.jetson_release) == (None, None, None)


def test_the_target_interpreters_disk_comes_first(tmp_path: Path) -> None:
    system = FakeMachine(tmp_path).system()
    seen = host.with_target(system, look(FakeMachine(tmp_path)), str(tmp_path))
    assert [disk.role for disk in seen.disks or ()] == ["target", "temp", "cache"]
    assert seen.disks is not None
    assert seen.disks[0].free_bytes > 0
    assert host.with_target(system, Host(), None) == Host()


def test_the_machine_that_runs_the_tests() -> None:
    seen, _, observations = host.look(System())
    assert seen.os is not None
    assert seen.machine
    assert {one.look for one in observations} == {"host", "pci"}
    assert msgspec.json.decode(msgspec.json.encode(seen), type=Host) == seen


def test_a_machine_that_says_nothing(tmp_path: Path) -> None:
    seen, devices, observations = host.look(System(tmp_path, {}, "linux", "x86_64"))
    assert (seen.os, seen.machine) == ("linux", "x86_64")
    unknown = (
        seen.os_name,
        seen.kernel,
        seen.libc,
        seen.cpu_model,
        seen.memory_bytes,
        seen.wsl,
        seen.container,
        seen.jetson,
    )
    assert set(unknown) == {None}
    assert devices is None
    assert {one.look: one.state for one in observations} == {"host": "failed", "pci": "absent"}


# Names, libc, processor --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("/etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', "Debian GNU/Linux 12 (bookworm)"),
        ("/etc/os-release", "PRETTY_NAME='Arch Linux'\n", "Arch Linux"),
        ("/etc/os-release", "PRETTY_NAME=Void\n", "Void"),
        ("/etc/os-release", "NAME=x\nPRETTY_NAME=\n", None),
        ("/etc/os-release", "\x00\xff", None),
        ("/etc/redhat-release", "CentOS Linux release 7.9.2009 (Core)\n", "CentOS Linux release 7.9.2009 (Core)"),
    ],
)
def test_names_of_distributions(tmp_path: Path, path: str, text: str, name: str | None) -> None:
    machine = FakeMachine(tmp_path)
    machine.at("/etc/os-release").unlink()
    assert look(machine.file(path, text)).os_name == name


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("GNU C Library (Debian GLIBC 2.36-9+deb12u9) stable release version 2.36.", "2.36"),
        ("GNU C Library (GNU libc) stable release version 2.17, by Roland McGrath et al.", "2.17"),
        ("nothing", None),
    ],
)
def test_glibcs_version_from_its_own_words(tmp_path: Path, text: str, version: str | None) -> None:
    seen = look(FakeMachine(tmp_path).file("/lib64/libc.so.6", b"\x7fELF\0" + text.encode()))
    assert (seen.libc, seen.libc_version) == ("glibc" if version else None, version)


def test_musl(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).file("/lib/ld-musl-x86_64.so.1")
    machine.at("/lib64/libc.so.6").unlink()
    assert (look(machine).libc, look(machine).libc_version) == ("musl", None)


def test_an_arm_processor(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, machine="aarch64")
    machine.file("/proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd aes sve i8mm\nCPU implementer\t: 0x41\n")
    assert (look(machine).cpu_model, look(machine).cpu_flags) == (None, ("asimd", "sve", "i8mm"))


@pytest.mark.parametrize(
    ("platform", "machine", "os", "libc"),
    [
        ("darwin", "arm64", "macos", "none"),
        ("win32", "AMD64", "windows", "none"),
        ("freebsd14", "amd64", "other", "none"),
    ],
)
def test_other_systems(tmp_path: Path, platform: str, machine: str, os: str, libc: str) -> None:
    seen, _, _ = host.look(System(tmp_path, {}, platform, machine))
    assert (seen.os, seen.libc, seen.wsl, seen.container) == (os, libc, False, "none")
    assert seen.machine == {"AMD64": "x86_64", "amd64": "x86_64"}.get(machine, machine)


def test_macos_by_its_version_file(tmp_path: Path) -> None:
    plist = "<dict><key>ProductVersion</key>\n\t<string>14.5</string></dict>"
    FakeMachine(tmp_path).file("/System/Library/CoreServices/SystemVersion.plist", plist)
    assert host.look(System(tmp_path, {}, "darwin", "arm64"))[0].os_name == "macOS 14.5"


def test_windows_by_its_registry(tmp_path: Path) -> None:
    nt = "/registry/HKLM/SOFTWARE/Microsoft/Windows NT/CurrentVersion/@values"
    control = "/registry/HKLM/SYSTEM/CurrentControlSet/Control"
    machine = FakeMachine(tmp_path)
    machine.file(
        nt, "ProductName=Windows 11 Pro\nDisplayVersion=23H2\nCurrentMajorVersionNumber=10\nCurrentBuild=22631\n"
    )
    machine.file(f"{control}/SecureBoot/State/@values", "UEFISecureBootEnabled=1\n")
    machine.file(f"{control}/TimeZoneInformation/@values", "TimeZoneKeyName=China Standard Time\n")
    machine.file("/registry/HKCU/Control Panel/International/@values", "LocaleName=zh-CN\n")
    seen, _, _ = host.look(System(tmp_path, {}, "win32", "AMD64"))
    assert (seen.os_name, seen.kernel, seen.secure_boot) == ("Windows 11 Pro 23H2", "10.22631", True)
    assert (seen.language, seen.time_zone) == ("zh-CN", "China Standard Time")


# Surroundings ------------------------------------------------------------------------------------------------------


def test_wsl(tmp_path: Path) -> None:
    seen = look(FakeMachine(tmp_path).wsl().file("/run/systemd/container", "wsl\n"))
    assert (seen.wsl, seen.container) == (True, "none")


OVERLAY = "1 0 0:50 / / rw - overlay overlay rw,lowerdir={},upperdir=/u"


@pytest.mark.parametrize(
    ("files", "variables", "name"),
    [
        ({"/.dockerenv": ""}, {}, "docker"),
        ({"/run/.containerenv": 'engine="podman-4.9"'}, {}, "podman"),
        ({"/run/.containerenv": "", "/.dockerenv": ""}, {}, "podman"),
        ({"/.singularity.d/runscript": ""}, {}, "apptainer"),
        ({}, {"APPTAINER_CONTAINER": "/x.sif"}, "apptainer"),
        ({}, {"SINGULARITY_CONTAINER": "/x.sif"}, "apptainer"),
        ({"/.dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({}, {"container": "lxc"}, "lxc"),
        ({"/run/systemd/container": "systemd-nspawn\n"}, {}, "systemd-nspawn"),
        ({"/proc/1/cgroup": "12:devices:/docker/0123abc\n"}, {}, "docker"),
        ({"/proc/1/cgroup": "4:cpu:/kubepods/burstable/pod1/0123\n"}, {}, "kubernetes"),
        ({"/proc/1/cgroup": "1:name=systemd:/system.slice/docker-01ab.scope\n"}, {}, "docker"),
        ({"/proc/1/cgroup": "0::/kubepods.slice/kubepods-pod1.slice\n"}, {}, "kubernetes"),
        ({"/proc/1/cgroup": "0::/machine.slice/libpod-01.scope\n"}, {}, "podman"),
        ({"/proc/1/cgroup": "0::/lxc/web\n"}, {}, "lxc"),
        (
            {"/proc/1/cgroup": "0::/\n", "/proc/self/mountinfo": OVERLAY.format("/var/lib/docker/overlay2/l/A")},
            {},
            "docker",
        ),
        (
            {"/proc/self/mountinfo": OVERLAY.format("/var/lib/containers/storage/overlay/l/A")},
            {},
            "podman",
        ),
        (
            {"/proc/self/mountinfo": OVERLAY.format("/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/1/fs")},
            {},
            "containerd",
        ),
        ({"/proc/self/mountinfo": OVERLAY.format("/run/rootfsbase")}, {}, "none"),
        ({"/proc/1/cgroup": "0::/init.scope\n"}, {}, "none"),
        ({"/proc/1/cgroup": "0::/user.slice/user-1000.slice/dockerfan.scope\n"}, {}, "none"),
    ],
)
def test_containers(tmp_path: Path, files: dict[str, str], variables: dict[str, str], name: str) -> None:
    machine = FakeMachine(tmp_path).env(**variables)
    for path, text in files.items():
        machine.file(path, text)
    assert look(machine).container == name


@pytest.mark.parametrize(
    ("name", "release"),
    [("r32.1.0-nano", "32.1.0"), ("r32.6.1-tx2", "32.6.1"), ("r36.4.3-orin", "36.4.3"), ("r39.2.0-orin", "39.2.0")],
)
def test_jetson_boards(tmp_path: Path, name: str, release: str) -> None:
    text = (RAW / f"{name}.txt").read_text(encoding="utf-8")
    seen = look(FakeMachine(tmp_path, machine="aarch64").jetson(text))
    assert (seen.jetson, seen.jetson_release) == (True, f"NVIDIA Jetson AGX Orin Developer Kit, L4T {release}")


@pytest.mark.parametrize("kernel", ["4.9.253-tegra", "5.15.148-l4t-r36.4-1012.12+g8dc079d5c8c4", "6.8.12-1021-tegra"])
def test_a_jetson_by_its_kernel_alone(tmp_path: Path, kernel: str) -> None:
    seen = look(FakeMachine(tmp_path, machine="aarch64", kernel=kernel))
    assert (seen.jetson, seen.jetson_release) == (True, None)


@pytest.mark.parametrize("kernel", ["6.11.0-1016-nvidia", "6.8.0-1013-raspi", "5.15.0-integra"])
def test_other_arm_machines_are_no_jetsons(tmp_path: Path, kernel: str) -> None:
    machine = FakeMachine(tmp_path, machine="aarch64", kernel=kernel).file(
        "/proc/device-tree/model", "NVIDIA DGX Spark\0"
    )
    assert look(machine).jetson is False


@pytest.mark.parametrize(
    ("variables", "name", "gpus"),
    [
        ({"SLURM_JOB_ID": "7"}, "slurm", None),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "0,1"}, "slurm", "0,1"),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_GPUS": "3", "SLURM_JOB_GPUS": "0,1"}, "slurm", "3"),
        ({"SLURM_GPUS": "2"}, "none", None),
        ({"LSB_JOBID": "1"}, "lsf", None),
        ({"PBS_JOBID": "1.host", "PBS_NGPUS": "4"}, "pbs", "4"),
        ({"FLUX_JOB_ID": "f1"}, "flux", None),
        ({"SGE_TASK_ID": "1", "SGE_ROOT": "/sge"}, "sge", None),
        ({"SGE_TASK_ID": "1"}, "none", None),
        ({}, "none", None),
    ],
)
def test_schedulers(tmp_path: Path, variables: dict[str, str], name: str, gpus: str | None) -> None:
    seen = look(FakeMachine(tmp_path).env(**variables))
    assert (seen.scheduler, seen.scheduler_gpus) == (name, gpus)


@pytest.mark.parametrize(
    ("variable", "make", "state"),
    [
        (b"\6\0\0\0\1", lambda m: m, True),
        (b"\6\0\0\0\0", lambda m: m, False),
        (b"", lambda m: m, None),
        (None, lambda m: m, False),
        (None, lambda m: m.container(), None),
        (None, lambda m: m.file("/sys/firmware/efi/runtime", ""), None),
    ],
)
def test_secure_boot(tmp_path: Path, variable: bytes | None, make: object, state: bool | None) -> None:
    machine = make(FakeMachine(tmp_path))  # type: ignore[operator]
    if variable is not None:
        machine.file("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", variable)
    assert look(machine).secure_boot is state


UNIT = "/usr/lib/systemd/system/nvidia-fabricmanager.service"


@pytest.mark.parametrize(
    ("installed", "switches", "said", "state"),
    [
        (False, 0, None, None),
        (False, 4, None, "absent"),
        (True, 4, "active", "active"),
        (True, 4, "inactive", "inactive"),
        (True, 4, "failed", "failed"),
        (True, 0, "inactive", "inactive"),
        (True, 4, "Failed to connect to bus", None),
        (True, 4, None, None),
    ],
)
def test_the_fabric_manager(
    tmp_path: Path, installed: bool, switches: int, said: str | None, state: str | None
) -> None:
    machine = FakeMachine(tmp_path)
    for number in range(switches):
        machine.pci(f"0000:c{number}:00.0", "10de:22a3", pci_class="068000")
    if installed:
        machine.file(UNIT)
    if said is not None:
        machine.program("systemctl", f"echo '{said}'; [ '{said}' = active ]\n")
    assert look(machine).fabric_manager == state


def test_a_running_fabric_manager_shows_in_its_control_group(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).file(UNIT).program("systemctl", "echo failed\n")
    machine.file("/sys/fs/cgroup/system.slice/nvidia-fabricmanager.service/cgroup.procs", "77\n")
    assert look(machine).fabric_manager == "active"


def test_a_container_does_not_see_the_fabric_manager(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).container().pci("0000:c0:00.0", "10de:22a3", pci_class="068000")
    assert look(machine).fabric_manager is None


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({"LC_ALL": "zh_CN.UTF-8", "LANG": "C"}, "zh_CN.UTF-8"),
        ({"LC_ALL": "", "LC_MESSAGES": "de_DE"}, "de_DE"),
        ({"LANG": "zh_CN.GBK"}, "zh_CN.GBK"),
        ({"LANG": ""}, None),
    ],
)
def test_languages(tmp_path: Path, variables: dict[str, str], language: str | None) -> None:
    assert look(FakeMachine(tmp_path).env(**variables)).language == language


def test_time_zones(tmp_path: Path) -> None:
    assert look(FakeMachine(tmp_path / "a").env(TZ=":Asia/Shanghai")).time_zone == "Asia/Shanghai"
    machine = FakeMachine(tmp_path / "b").link("/etc/localtime", "/usr/share/zoneinfo/Asia/Shanghai")
    machine.at("/etc/timezone").unlink()
    assert look(machine).time_zone == "Asia/Shanghai"


FILES = (
    "/etc/os-release",
    "/proc/sys/kernel/osrelease",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/1/cgroup",
    "/proc/self/mountinfo",
    "/etc/timezone",
    "/lib64/libc.so.6",
    "/etc/nv_tegra_release",
    "/proc/device-tree/model",
)


@pytest.mark.parametrize("fault", ["absent", "empty", "binary", "huge", "directory", "loop", "dangling"])
@pytest.mark.parametrize("path", FILES)
def test_a_spoilt_file_is_unknown_and_not_a_crash(tmp_path: Path, path: str, fault: str) -> None:
    machine = FakeMachine(tmp_path, machine="aarch64").jetson()
    place = machine.at(path)
    text = place.read_bytes()
    place.unlink()
    if fault == "directory":
        place.mkdir()
    elif fault in ("loop", "dangling"):
        place.symlink_to(place.name if fault == "loop" else "nowhere")
    elif fault != "absent":
        machine.file(path, {"empty": b"", "binary": bytes(range(256)) * 20, "huge": text + b" x" * (5 << 20)}[fault])
    seen, _, observations = host.look(machine.system())
    assert seen.os == "linux"
    assert all(one.state in ("ok", "failed") for one in observations)
    assert msgspec.json.decode(msgspec.json.encode(seen), type=Host) == seen
