"""The NVIDIA driver stack: files at once, NVML in a child beside them, nvidia-smi only where NVML gave nothing.

The child is our own interpreter with `-I -S -B` and without CUDA_VISIBLE_DEVICES. It may hang, crash or leave: the
call it was at is named, and what it said before is kept.
"""

import os
import sys
import time
from collections.abc import Iterator

from envcheck.model.facts import ApiStatus, DeviceNode, Gpu, Message, Nvidia, Observation
from envcheck.probes import driverfiles, pci, smi
from envcheck.probes.launch import worker_text
from envcheck.probes.nvmlfacts import Answers, Names, answers
from envcheck.probes.system import System
from envcheck.probes.worker import Worker, WorkerResult

NVML_LIMIT = 30.0
"""Seconds for NVML. Seen: 9 s without a module (prefix-dev/pixi#2430), 24 s in a container
(NVIDIA/nvidia-container-toolkit#1053), a hang for good (NVIDIA/go-nvml#152); read 2026-11-24."""
ENOUGH_FOR_SMI = 0.2
SPARE = 0.25
"""Seconds kept back from the deadline for putting together what was seen before it."""
_LOOKS = ("nvml", "libcuda", "smi")
_TRIPLETS = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu", "ppc64le": "powerpc64le-linux-gnu"}
_REFUSED = frozenset((4, 9, 17, 999))
"""Codes after which it is worth trying to open the device nodes: permission, cgroup, unknown."""


def start(system: System, deadline: float) -> "Handle":
    """Start asking; `deadline` is an instant of `time.monotonic`."""
    return Handle(system, deadline)


class Handle:
    """A look under way."""

    def __init__(self, system: System, deadline: float) -> None:
        self.system, self.deadline = system, deadline
        self._names = _names(system)
        self._absent = self._names is not None and _nowhere(system, self._names)
        self._worker = _worker(system, self._names) if self._names and not self._absent else None
        self._files = driverfiles.look(system)

    def poll(self) -> str | None:
        """The driver call that the child is at now."""
        return self._worker.poll() if self._worker else None

    def close(self) -> None:
        """End the child without asking."""
        if self._worker:
            self._worker.close()

    def finish(self) -> tuple[Nvidia, tuple[Observation, ...], tuple[Message, ...]]:
        """Wait until the deadline at most, and put together what every look said."""
        if self._names is None:
            skipped = [
                Observation(look=look, state="skipped", detail="no NVIDIA driver for this system") for look in _LOOKS
            ]
            return _together(self._files, None, None, None, None), (self._files.observation, *skipped), ()
        result = self._asked(self._names)
        said = answers(result, self._names)
        path = smi.find(self.system)
        answer, smi_seen = self._ask_smi(said, path)
        nodes = driverfiles.nodes(self.system, open_within=self._left()) if _refused(said.statuses) else None
        nvidia = _together(self._files, said, answer, path, nodes)
        messages = (*_printed(result), *(answer.messages if answer else ()))
        observations = [self._files.observation, said.nvml, said.libcuda, smi_seen]
        if _in_trouble(self.system, nvidia):
            from envcheck.probes import kernellog

            lines, seen = kernellog.look(self.system, self._left())
            messages += lines
            observations.append(seen)
        return nvidia, tuple(observations), messages

    def _asked(self, names: Names) -> WorkerResult:
        """What the child said; where there is nothing to load, what it would say."""
        if self._worker is None:
            words = "{}: cannot open shared object file: No such file or directory"
            said = {name: {"error": words.format(name), "exists": False} for name in (*names.nvml, *names.cuda)}
            return WorkerResult("ok", {f"dlopen({name})": value for name, value in said.items()}, {})
        spare = min(SPARE, max(0.0, self._left()) / 10)
        return self._worker.finish(min(self.deadline - spare, self._worker.begun + NVML_LIMIT))

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def _ask_smi(self, said: Answers, path: str | None) -> tuple[smi.Answer | None, Observation]:
        why = self._no_need_for_smi(said)
        if why is None and path is None:
            return None, Observation(look="smi", state="absent", detail="no nvidia-smi in a trusted place")
        if why is not None or path is None:
            return None, Observation(look="smi", state="skipped", detail=why)
        answer = smi.look(self.system, path, self._left())
        return answer, answer.observation

    def _no_need_for_smi(self, said: Answers) -> str | None:
        if said.gpus is not None or any(status.api == "nvml" for status in said.statuses):
            return "NVML answered"
        if said.nvml.state == "timeout":
            return "NVML hangs, and nvidia-smi would ask it"
        return "no time left" if self._left() < ENOUGH_FOR_SMI else None


def _worker(system: System, names: Names) -> Worker:
    env = {name: value for name, value in system.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    ask = {"nvml": list(names.nvml), "cuda": list(names.cuda)}
    script = worker_text("nvml.py")
    return Worker([sys.executable, "-I", "-S", "-B"], script, ask, env)


def _names(system: System) -> Names | None:
    """What to load: the loader's own choice first (it is CUDA's too), then the places that it may not know."""
    if system.windows:
        return Names(tuple(_windows_places(system, "nvml.dll")), tuple(_windows_places(system, "nvcuda.dll")))
    if system.platform != "linux":
        return None
    nvml, cuda = (tuple(_linux_places(system, name)) for name in ("libnvidia-ml.so.1", "libcuda.so.1"))
    return Names(nvml, cuda, os.path.realpath(system.root) if system.fake else "")


def _linux_places(system: System, name: str) -> Iterator[str]:
    """On a fake root the loader's search is played below it: LD_LIBRARY_PATH, then the usual directories."""
    triplet = _triplet(system)
    usual = [f"/usr/lib/{triplet}", "/lib64", "/usr/lib64", "/usr/lib"]
    beside = [
        "/usr/lib/wsl/lib",
        f"/usr/lib/{triplet}/nvidia/current",
        f"/usr/lib/{triplet}/nvidia",
        f"/usr/lib/{triplet}/tegra",
        "/usr/lib64/nvidia",
        "/usr/local/nvidia/lib64",
        "/run/opengl-driver/lib",
    ]
    if not system.fake:
        yield name
        yield from (f"{folder}/{name}" for folder in (*beside, *usual) if system.kind(f"{folder}/{name}"))
        return
    given = [folder for folder in (system.env("LD_LIBRARY_PATH") or "").split(":") if folder.startswith("/")]
    found = [path for folder in (*given, *usual, *beside) if system.kind(path := f"{folder}/{name}")]
    yield from (system.place(path) for path in found or [f"/usr/lib/{triplet}/{name}"])


def _nowhere(system: System, names: Names) -> bool:
    """Whether glibc's loader surely finds none of the libraries, so that no child need try.

    It looks below LD_LIBRARY_PATH (where that is set, the child is asked), in its cache, in the usual directories, and
    where the interpreter's own libraries lie. An interpreter of another libc keeps no such cache.
    """
    wanted = (*names.nvml, *names.cuda)
    cache, _ = system.read_bytes("/etc/ld.so.cache", 32 << 20)
    if system.fake or system.env("LD_LIBRARY_PATH") or cache is None or any("/" in name for name in wanted):
        return False
    if not cache.startswith((b"ld.so-", b"glibc-ld.so.cache")) or any(name.encode() in cache for name in wanted):
        return False
    usual = [f"{root}/lib{end}" for root in ("", "/usr") for end in ("", "64", f"/{_triplet(system)}")]
    folders = (*usual, *(f"{prefix}/lib" for prefix in (sys.prefix, sys.base_prefix)))
    return not any(system.kind(f"{folder}/{name}") for folder in folders for name in wanted)


def _triplet(system: System) -> str:
    return _TRIPLETS.get(system.machine, f"{system.machine}-linux-gnu")


def _windows_places(system: System, name: str) -> Iterator[str]:
    yield (system.env("WINDIR") or "C:\\Windows") + "\\System32\\" + name
    if programs := system.env("ProgramFiles"):
        yield programs + "\\NVIDIA Corporation\\NVSMI\\" + name


def _together(
    seen: driverfiles.Seen,
    said: Answers | None,
    answer: smi.Answer | None,
    path: str | None,
    nodes: tuple[DeviceNode, ...] | None,
) -> Nvidia:
    return Nvidia(
        modules=seen.modules,
        driver_versions=(
            *seen.driver_versions,
            *(said.driver_versions if said else ()),
            *(answer.driver_versions if answer else ()),
        ),
        library_versions=said.library_versions if said else (),
        cuda_versions=(*(said.cuda_versions if said else ()), *(answer.cuda_versions if answer else ())),
        libraries=said.libraries if said else (),
        statuses=(*(said.statuses if said else ()), *(answer.statuses if answer else ())),
        gpus=_gpus(seen, said, answer),
        nodes=nodes or seen.nodes,
        smi_path=path,
        smi_returncode=answer.returncode if answer else None,
        packages=seen.packages,
        modeset_files=seen.module_files,
    )


def _gpus(seen: driverfiles.Seen, said: Answers | None, answer: smi.Answer | None) -> tuple[Gpu, ...] | None:
    """NVML's list, else nvidia-smi's, else the names that the kernel module tells in files."""
    listed = [one.gpus for one in (said, answer) if one is not None and one.gpus is not None]
    return listed[0] if listed else seen.gpus or None


def _refused(statuses: tuple[ApiStatus, ...]) -> bool:
    return any(status.api == "nvml" and status.code in _REFUSED for status in statuses)


def _in_trouble(system: System, nvidia: Nvidia) -> bool:
    """Whether the kernel may have something to say: NVIDIA hardware or its driver is there, and not all is well."""
    gpus = nvidia.gpus or ()
    well = bool(gpus) and not nvidia.statuses and not any(gpu.error or gpu.look == "files" for gpu in gpus)
    if well or system.platform != "linux":
        return False
    loaded = any(module.loaded for module in nvidia.modules or () if module.name in ("nvidia", "nouveau"))
    return loaded or any(device.vendor == pci.NVIDIA for device in pci.scan(system) or ())


def _printed(result: WorkerResult) -> tuple[Message, ...]:
    """What the libraries wrote to the terminal: a stub says so there, and only there."""
    text = result.output.strip()[:4000]
    return (Message(kind="log", text=text, look="nvml", where="output"),) if text else ()
