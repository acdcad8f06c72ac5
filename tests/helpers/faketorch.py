"""Fake torch packages: a small one whose tensors really multiply, with a fault at any stage of the look at it."""

import os
import sys
import textwrap
import time
from pathlib import Path

SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"

FAULTS = {
    "ImportError": "raise ImportError('libcudart.so.12: cannot open shared object file: No such file or directory')",
    "OSError": "raise OSError('libtorch_global_deps.so: undefined symbol: __nvJitLinkAddData_12_1')",
    "RuntimeError": "raise RuntimeError('CUDA error: no kernel image is available for execution on the device')",
    "SystemExit": "raise SystemExit(0)",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "segv": "import ctypes; ctypes.string_at(0)",
    "ill": "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
    "abort": "import os; os.abort()",
    "exit0": "import os; os._exit(0)",
    "exit3": "import os; os._exit(3)",
    "hang": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)",
    "spin": "while True: pass",
    "flood": "for _ in range(10240): print(chr(120) * 1023)",
    "forever": "while True: print('y' * 1023)",
    "grandchild": "import os, time\nif os.fork() == 0: time.sleep(1000)",
    "daemon": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)",
    "slow": "import time; time.sleep(0.4)",
    "warn": "import warnings; warnings.warn('CUDA initialization: something is odd here')",
    "stderr": "import os; os.write(2, b'A module compiled using NumPy 1.x cannot be run in NumPy 2.4\\xff\\n')",
    "close": "import os; os.closerange(0, 64)",
}

_SOURCE = """
import types

def _fault(stage):
    if stage == {stage!r}:
{fault}

_fault("import")

class Tensor:
    def __init__(self, rows, device="cpu", **_):
        self.rows, self.device, self.grad, self.made_of = rows, device, None, None

    def matmul(self, other):
        _fault("kernel " + self.device)
        columns = list(zip(*other.rows))
        made = Tensor([[sum(a * b for a, b in zip(row, column)) for column in columns] for row in self.rows])
        made.made_of = (self, other)
        return made

    def __mul__(self, other):
        made = Tensor([[a * b for a, b in zip(*rows)] for rows in zip(self.rows, other.rows)])
        made.made_of = (self,)
        return made

    def sum(self):
        return self

    def backward(self):
        (y,) = self.made_of
        x, w = y.made_of
        w.grad = Tensor([[sum(x.rows[k][i] * 2 * y.rows[k][j] for k in range(len(x.rows)))
                          for j in range(len(w.rows[0]))] for i in range(len(w.rows))])

    def tolist(self):
        return {tolist}

def tensor(rows, **how):
    return Tensor(rows, **how)

def get_num_threads():
    _fault("cpu")
    return 2

class _Build:
    def __getattr__(self, name):
        _fault("build")
        return {build!r}.get(name)

version = _Build()
__version__ = {version!r}
_C = types.SimpleNamespace(_cuda_getArchFlags=lambda: "sm_80 sm_90 compute_90", _nccl_version=None)

class cuda:
    def is_available():
        _fault("is_available")
        return {devices!r} > 0

    def device_count():
        _fault("device_count")
        return {devices!r}

    def init():
        _fault("init")
        if not {devices!r}:
            raise RuntimeError("Found no NVIDIA driver on your system.")

    def get_device_properties(index):
        _fault("device cuda:%d" % index)
        return types.SimpleNamespace(name="NVIDIA A100", total_memory=42, major=8, minor=0, uuid="%08d" % index,
                                     gcnArchName="gfx90a:sramecc+:xnack-")

    class nccl:
        def version():
            _fault("nccl")
            return (2, 21, 5)

class backends:
    class cudnn:
        def version():
            _fault("cudnn")
            return 90100

    class cpu:
        def get_cpu_capability():
            return "AVX2"
"""


def write(
    folder: Path,
    *,
    fault: str | None = None,
    stage: str = "import",
    version: str = "2.6.0+cu124",
    build: dict[str, str | None] | None = None,
    devices: int = 0,
    wrong: bool = False,
    dist: bool = False,
) -> Path:
    """A torch package below `folder` that behaves as told; with `dist`, its metadata beside it."""
    package = folder / "torch"
    package.mkdir(parents=True, exist_ok=True)
    build = {"cuda": "12.4", "debug": False, "git_version": "abc"} if build is None else build  # type: ignore[dict-item]
    body = textwrap.indent(FAULTS[fault] if fault else "pass", " " * 8)
    tolist = "[[0.0]]" if wrong else "self.rows"
    source = _SOURCE.replace("{fault}", body).replace("{tolist}", tolist)
    for name, value in {"stage": stage, "build": build, "version": version, "devices": devices}.items():
        source = source.replace(f"{{{name}!r}}", repr(value))
    (package / "__init__.py").write_text(source)
    lines = [f"__version__ = {version!r}", *(f"{name} = {value!r}" for name, value in build.items())]
    (package / "version.py").write_text("from typing import Optional\n" + "\n".join(lines) + "\n")
    if dist:
        write_dist(folder, "torch", version, requires=("nvidia-cublas-cu12==12.4.5.8", "filelock"))
    return folder


def write_dist(
    site: Path,
    name: str,
    version: str,
    *,
    installer: str | None = "pip",
    requires: tuple[str, ...] = (),
    record: str | None = None,
) -> Path:
    """The metadata directory of an installed distribution."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    (folder / "METADATA").write_text("\n".join(lines) + "\n\nThe description. Requires-Dist: not-this-one\n")
    if installer is not None:
        (folder / "INSTALLER").write_text(installer + "\n")
    if record is not None:
        (folder / "RECORD").write_text(record)
    return folder


def left_behind(mark: str) -> list[int]:
    """Processes with `mark` in their environment that are still there after a second, in which killed ones go."""
    until = time.monotonic() + 1
    while (found := _processes_with(mark)) and time.monotonic() < until:
        time.sleep(0.01)
    return found


def _processes_with(mark: str) -> list[int]:
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != os.getpid():
            try:
                if mark.encode() in (place / "environ").read_bytes():
                    found.append(int(place.name))
            except OSError:
                continue
    return found
