r"""A machine that does not exist: a root directory with the files a look reads, and a driver that does as it is told.

    machine = FakeMachine(tmp_path).driver("550.54.15", gpus=2).libraries().gpu("gpus=2;name1=NVIDIA A100-PCIE-40GB")
    system = machine.system()                   # hand it to a probe, to `collect`, or to the CLI's World
    nvidia, looks, messages = machine.look()    # or ask the NVIDIA probe at once

Nothing is set in the process's own environment. The root goes in as `System(root=...)`; on such a root the probe
plays the loader's search below it (LD_LIBRARY_PATH, then the usual directories), so that a real driver of the
machine that runs the tests is never met. What the driver does stands in `environ["FAKE_GPU"]` (fakegpu.c says how),
which reaches the worker because a System hands its own environment on.
"""

import shutil
import sys
import time
from pathlib import Path

from fakegpu.build import library

from envcheck.model.facts import Message, Nvidia, Observation
from envcheck.probes import nvidia
from envcheck.probes.system import System

DRIVER = "550.54.15"
PROPRIETARY = (
    "NVRM version: NVIDIA UNIX {machine} Kernel Module  {version}  Tue Mar  5 22:23:56 UTC 2024\n"
    "GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)\n"
)
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for {machine}  {version}  Release Build  (builder@host)\n"
    "GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)\n"
)


class FakeMachine:
    """Bare, it is a healthy Ubuntu machine without any GPU. Every method adds something and returns the machine."""

    def __init__(self, root: Path, *, machine: str = "x86_64", kernel: str = "6.8.0-45-generic") -> None:
        self.root, self.machine = root, machine
        self.environ = {"PATH": "/usr/bin:/bin", "HOME": "/home/ada", "LANG": "en_US.UTF-8", "TMPDIR": f"{root}/tmp"}
        self.kernel = kernel
        for folder in ("tmp", "dev", "sys/module", "sys/bus/pci/devices", "sys/firmware", "usr/bin", "home/ada", "opt"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        self.file("/proc/sys/kernel/osrelease", kernel + "\n")
        self.file("/etc/os-release", 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.4 LTS"\n')
        self.file("/etc/timezone", "Europe/London\n")
        self.file("/proc/meminfo", "MemTotal:       65536000 kB\nMemFree:        1000 kB\n")
        self.file(
            "/proc/cpuinfo", "processor\t: 0\nmodel name\t: Fake CPU @ 3.00GHz\nflags\t\t: fpu sse4_2 avx avx2 fma\n"
        )
        self.file("/proc/1/cgroup", "0::/init.scope\n")
        self.file("/proc/self/mountinfo", "29 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw\n")
        self.file(
            "/lib64/libc.so.6", "\x7fELF GNU C Library (Ubuntu GLIBC 2.35-0ubuntu3.8) stable release version 2.35.\n"
        )

    # Files ---------------------------------------------------------------------------------------------------

    def at(self, path: str) -> Path:
        """Where a path of the machine lies; the directories to it are made."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def file(self, path: str, content: str | bytes = "", mode: int | None = None) -> "FakeMachine":
        place = self.at(path)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        if mode is not None:
            place.chmod(mode)
        return self

    def link(self, path: str, target: str) -> "FakeMachine":
        self.at(path).symlink_to(target)
        return self

    def program(self, name: str, script: str) -> "FakeMachine":
        """A program in /usr/bin; `script` is what /bin/sh runs."""
        return self.file(f"/usr/bin/{name}", "#!/bin/sh\n" + script, 0o755)

    def env(self, **variables: str) -> "FakeMachine":
        self.environ |= variables
        return self

    # Hardware, kernel ----------------------------------------------------------------------------------------

    def pci(
        self,
        address: str = "0000:01:00.0",
        ids: str = "10de:2204",
        *,
        pci_class: str = "030000",
        driver: str | None = None,
        revision: str = "a1",
        dead: bool = False,
    ) -> "FakeMachine":
        """A PCI device; a `dead` one has fallen off the bus and answers with ones only."""
        folder = f"/sys/bus/pci/devices/{address}"
        vendor, device = ids.split(":")
        for name, value in (("class", pci_class), ("vendor", vendor), ("device", device), ("revision", revision)):
            self.file(f"{folder}/{name}", f"0x{value}\n")
        self.file(f"{folder}/config", b"\xff" * 64 if dead else bytes.fromhex(vendor)[::-1] + bytes(62))
        if driver:
            (self.root / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
            self.link(f"{folder}/driver", f"../../../../bus/pci/drivers/{driver}")
        return self

    def module(self, name: str, version: str | None = None) -> "FakeMachine":
        (self.root / "sys/module" / name).mkdir(exist_ok=True)
        return self.file(f"/sys/module/{name}/version", version + "\n") if version else self

    def driver(self, version: str = DRIVER, *, gpus: int = 1, text: str = PROPRIETARY) -> "FakeMachine":
        """The kernel's half of the driver: modules, /proc, nodes, and the cards themselves."""
        self.module("nvidia", version).module("nvidia_uvm")
        self.file("/proc/driver/nvidia/version", text.format(machine=self.machine, version=version))
        for name in ("nvidiactl", "nvidia-uvm", *(f"nvidia{number}" for number in range(gpus))):
            self.file(f"/dev/{name}")
        for number in range(gpus):
            self.pci(f"0000:{number + 1:02x}:00.0", driver="nvidia")
        return self

    def information(self, address: str, text: str) -> "FakeMachine":
        return self.file(f"/proc/driver/nvidia/gpus/{address}/information", text)

    # Libraries, programs -------------------------------------------------------------------------------------

    def library(self, name: str, content: bytes | None = None, *, version: str = DRIVER, variant: str = "") -> str:
        """Put `libcuda` or `libnvidia-ml` where the distribution puts it (or at the path `name`); gives its path."""
        folder = f"/usr/lib/{self.machine}-linux-gnu"
        path = name if name.startswith("/") else f"{folder}/{name}.so.1"
        real = self.at(path).with_name(f"{Path(path).name.split('.so')[0]}.so.{version}")
        if content is None:
            shutil.copyfile(library(variant), real)
        else:
            real.write_bytes(content)
        self.link(path, real.name)
        return path

    def libraries(self, version: str = DRIVER, *, cuda: str | None = None, variant: str = "") -> "FakeMachine":
        """The driver's libraries; `cuda`: another version of libcuda."""
        self.library("libnvidia-ml", version=version, variant=variant)
        self.library("libcuda", version=cuda or version, variant=variant)
        return self

    def gpu(self, script: str = "") -> "FakeMachine":
        """What the driver has and does: the script of fakegpu.c."""
        return self.env(FAKE_GPU=script)

    def healthy(self, gpus: int = 1, script: str = "") -> "FakeMachine":
        """A machine on which all is well."""
        return self.driver(gpus=gpus).libraries().gpu(f"gpus={gpus};driver={DRIVER};nvml=12.{DRIVER};{script}")

    def smi(
        self, output: str | bytes = "", *, returncode: int = 0, before: str = "", stderr: str = ""
    ) -> "FakeMachine":
        """A nvidia-smi that prints `output`, after running the shell lines of `before`."""
        self.file("/usr/share/smi.out", output).file("/usr/share/smi.err", stderr)
        lines = (before, f"cat '{self.root}/usr/share/smi.out'", f"cat '{self.root}/usr/share/smi.err' >&2")
        return self.program("nvidia-smi", "\n".join((*lines, f"exit {returncode}\n")))

    # Other machines ------------------------------------------------------------------------------------------

    def wsl(self) -> "FakeMachine":
        """WSL 2 with Windows' driver: no module, /dev/dxg, libraries beside the distribution's."""
        self.file("/proc/sys/kernel/osrelease", "5.15.153.1-microsoft-standard-WSL2\n").file("/dev/dxg")
        self.library("/usr/lib/wsl/lib/libnvidia-ml.so.1")
        self.library("/usr/lib/wsl/lib/libcuda.so.1")
        return self

    def jetson(self, l4t: str = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic") -> "FakeMachine":
        self.file("/proc/sys/kernel/osrelease", "5.15.148-tegra\n").file("/etc/nv_tegra_release", l4t + "\n")
        return self.file("/proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")

    def container(self) -> "FakeMachine":
        return self.file("/.dockerenv")

    def kfd(self, *target_versions: int) -> "FakeMachine":
        """AMD's compute nodes; 0 is a processor's node."""
        self.module("amdgpu").file("/dev/kfd").file("/dev/dri/renderD128")
        for number, version in enumerate(target_versions):
            folder = f"/sys/class/kfd/kfd/topology/nodes/{number}"
            self.file(f"{folder}/properties", f"simd_count 192\ngfx_target_version {version}\nvendor_id 4098\n")
            self.file(f"{folder}/name", "ip discovery\n")
        return self

    # Looking -------------------------------------------------------------------------------------------------

    def system(self) -> System:
        return System(self.root, self.environ, "linux", self.machine)

    def look(self, limit: float = 20.0) -> tuple[Nvidia, dict[str, Observation], tuple[Message, ...]]:
        """What the NVIDIA probe sees, with the observations by their look."""
        found, observations, messages = nvidia.start(self.system(), time.monotonic() + limit).finish()
        return found, {seen.look: seen for seen in observations}, messages

    def left_behind(self) -> list[str]:
        """Processes that were started here and still run, and private directories that are still there.

        A killed process takes a moment to go, and longer on a busy machine: only what stays counts.
        """
        patience = time.monotonic() + 10
        while (found := self._running() + self._folders()) and time.monotonic() < patience:
            time.sleep(0.01)
        return found

    def _folders(self) -> list[str]:
        return [path.name for path in (self.root / "tmp").iterdir() if path.is_dir()]

    def _running(self) -> list[str]:
        mark = f"TMPDIR={self.root}/tmp".encode()
        processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()] if sys.platform == "linux" else []
        return [process.name for process in processes if mark in _environment(process)]


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
