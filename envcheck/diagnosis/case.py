"""The case on the table: facts, the catalogue, and the questions that checks ask of them.

Every property answers None when the facts do not say. Derived questions that more than one check asks live
here, once.
"""

from collections.abc import Callable, Iterable
from functools import cached_property

from envcheck.catalogue import Catalogue
from envcheck.diagnosis.builds import Builds
from envcheck.model.facts import (
    Disk,
    Facts,
    Gpu,
    Observation,
    Package,
    Proxy,
    Route,
    Setting,
    Sighting,
    Tool,
    TorchDevice,
)
from envcheck.model.gradients import Gradients
from envcheck.model.plan import Plan
from envcheck.model.report import Fix

Advise = Callable[[Facts], Plan | None]
"""Facts to a plan: `recommend.resolve` bound to a catalogue, handed in so that the rooms stay apart."""
Commands = Callable[[Plan], tuple[Fix, ...]]
"""A plan to the steps that carry it out: `recommend.commandline` bound to the machine, handed in likewise."""

LOOKS_BEHIND: dict[str, tuple[str, ...]] = {
    "nvidia_pci": ("pci",),
    "nvidia_module_loaded": ("files",),
    "nodes": ("files",),
    "in_container": ("host",),
    "scheduler": ("host",),
    "wsl": ("host",),
    "jetson": ("host",),
    "has_nvidia": ("pci",),
    "card_list": ("nvml", "smi", "torch"),
    "cards_to_compare": ("nvml", "smi", "torch"),
    "gpus": ("nvml", "smi"),
    "listed": ("nvml", "smi"),
    "driver_answered": ("nvml", "libcuda", "smi"),
    "secure_boot": ("host",),
    "kernels": ("torch",),
    "kernels_to_compare": ("torch",),
    "build_cuda": ("torch", "interpreter"),
    "wheel_cuda": ("torch", "interpreter"),
    "build_kind": ("torch", "interpreter"),
    "driver_version": ("files", "nvml", "smi"),
    "cuda_driver_version": ("nvml", "libcuda", "smi"),
    "python_version": ("interpreter",),
    "python_bits": ("interpreter",),
    "python_platform": ("interpreter",),
    "python_implementation": ("interpreter",),
    "free_threaded": ("interpreter",),
    "libc": ("interpreter", "host"),
    "libc_version": ("interpreter", "host"),
    "illegal_instruction": ("torch",),
    "torch_installed": ("interpreter",),
    "torch_version": ("interpreter", "torch"),
    "torch_imported": ("torch",),
    "cuda_available": ("torch",),
    "device_count": ("torch",),
    "devices": ("torch",),
    "cpu_kernel_ok": ("torch",),
    "mps_available": ("torch",),
    "xpu_available": ("torch",),
    "variables": ("files",),
    "gradients": ("backprop",),
    "torch_look": ("torch",),
    "build_shown": ("interpreter", "torch"),
    "packages": ("interpreter",),
    "shadows": ("interpreter",),
    "has_pip": ("interpreter",),
    "has_ssl": ("interpreter",),
    "settings": ("settings",),
    "tools": ("settings",),
    "proxies": ("proxies",),
    "routes": ("proxies",),
    "disks": ("host",),
    "kfd": ("kfd",),
    "amd_looked_at": ("kfd",),
    "uvm_looked_at": ("files", "torch"),
}
"""Which looks could have answered a question: the first that died is the reason why there is no answer."""


class Case(Builds):
    """Facts as checks see them."""

    def __init__(self, facts: Facts, catalogue: Catalogue, advise: Advise, commands: Commands | None = None) -> None:
        super().__init__(facts, catalogue)
        self._commands = commands
        self._advise = advise

    def died(self, need: str) -> Observation | None:
        """The look behind `need` that failed, timed out or crashed, if any."""
        looks = LOOKS_BEHIND.get(need, ())
        seen = (self.facts.observation(look) for look in looks)
        return next((look for look in seen if look and _is_dead(look)), None)

    def advise(self, facts: Facts) -> Plan | None:
        """What `envcheck install` would recommend on a machine with these facts."""
        return self._advise(facts)

    @cached_property
    def plan(self) -> Plan | None:
        """What `envcheck install` would recommend here."""
        return self._advise(self.facts)

    def commands(self, plan: Plan) -> tuple[Fix, ...]:
        """The steps that carry out `plan`; empty when nobody handed in how."""
        return self._commands(plan) if self._commands else ()

    @cached_property
    def driver_version(self) -> str | None:
        """The NVIDIA driver version; the loaded kernel module's word counts before the libraries'."""
        return _first(self.facts.nvidia.driver_versions, ("files", "nvml", "smi", "text"))

    @cached_property
    def cuda_driver_version(self) -> str | None:
        """The CUDA driver API version, `12.2`."""
        return _first(self.facts.nvidia.cuda_versions, ("nvml", "libcuda", "smi", "text"))

    @cached_property
    def gpus(self) -> tuple[Gpu, ...] | None:
        """NVIDIA GPUs that the driver lists."""
        return self.facts.nvidia.gpus

    @cached_property
    def python_version(self) -> str | None:
        """The examined interpreter's version."""
        return self.facts.python.version

    @cached_property
    def python_bits(self) -> int | None:
        """32 or 64."""
        return self.facts.python.bits

    @cached_property
    def python_platform(self) -> str | None:
        """Sysconfig's platform."""
        return self.facts.python.platform

    @cached_property
    def python_implementation(self) -> str | None:
        """`CPython`, `PyPy`."""
        return self.facts.python.implementation

    @cached_property
    def free_threaded(self) -> bool | None:
        """Whether the interpreter has no global lock."""
        return self.facts.python.free_threaded

    @cached_property
    def torch_installed(self) -> bool | None:
        """Whether the examined interpreter has torch's files."""
        return self.facts.torch.installed

    @cached_property
    def torch_version(self) -> str | None:
        """Torch's version with its local part."""
        return self.facts.torch.version

    @cached_property
    def torch_imported(self) -> bool | None:
        """Whether `import torch` ended well."""
        return self.facts.torch.imported

    @cached_property
    def cuda_available(self) -> bool | None:
        """`torch.cuda.is_available()`."""
        return self.facts.torch.cuda_available

    @cached_property
    def device_count(self) -> int | None:
        """`torch.cuda.device_count()`."""
        return self.facts.torch.device_count

    @cached_property
    def devices(self) -> tuple[TorchDevice, ...] | None:
        """The devices that torch sees, with how a first kernel ended there."""
        return self.facts.torch.devices

    @cached_property
    def cpu_kernel_ok(self) -> bool | None:
        """Whether a first computation on the CPU gave the right numbers."""
        return self.facts.torch.cpu_kernel_ok

    @cached_property
    def mps_available(self) -> bool | None:
        """`torch.backends.mps.is_available()`."""
        return self.facts.torch.mps_available

    @cached_property
    def xpu_available(self) -> bool | None:
        """`torch.xpu.is_available()`."""
        return self.facts.torch.xpu_available

    @cached_property
    def torch_look(self) -> Observation | None:
        """How the look at torch went, when torch was there and was looked at."""
        seen = self.facts.observation("torch")
        return seen if seen is not None and seen.state not in ("absent", "skipped") else None

    @cached_property
    def amd_looked_at(self) -> bool | None:
        """True where AMD's compute device was looked at, or a text shows a ROCm build that sees no GPU."""
        quiet = self.pasted and self.facts.torch.hip and self.cuda_available is False
        return True if self.kfd or quiet else None

    @cached_property
    def cuda_was_missed(self) -> bool:
        """Whether somebody asked torch for CUDA by hand and got False; a report that always asks does not count."""
        answers = self.facts.sightings.get("torch.cuda_available", ())
        if any(one.value == "0" for one in self.facts.sightings.get("torch.device_count", ())):
            return True
        return any(one.value == "False" and "CUDA available" not in (one.where or "") for one in answers)

    @cached_property
    def uvm_looked_at(self) -> bool | None:
        """True where the device files were looked at and CUDA was asked, or a text shows the kernel's modules."""
        asked = self.nodes is not None and self.cuda_available is not None
        return True if asked or (self.pasted and self.module("nvidia_uvm")) else None

    @cached_property
    def build_shown(self) -> bool | None:
        """True when torch's build is known, or when a text may show it in its own way (conda's list, pip's log)."""
        return True if self.build_kind or (self.pasted and self.facts != Facts(source="text")) else None

    @cached_property
    def packages(self) -> tuple[Package, ...] | None:
        """Installed distributions that have to do with torch."""
        return self.facts.packages

    @cached_property
    def shadows(self) -> tuple[str, ...] | None:
        """Files and folders that hide installed packages."""
        return self.facts.python.shadows

    @cached_property
    def has_pip(self) -> bool | None:
        """Whether the examined interpreter has pip."""
        return self.facts.python.has_pip

    @cached_property
    def has_ssl(self) -> bool | None:
        """Whether its module `ssl` can be loaded."""
        return self.facts.python.has_ssl

    @cached_property
    def pip_python(self) -> str | None:
        """The interpreter behind the `pip` on PATH."""
        return self.facts.python.pip_python

    @cached_property
    def settings(self) -> tuple[Setting, ...] | None:
        """What pip, uv and conda are told."""
        return self.facts.settings

    @cached_property
    def tools(self) -> tuple[Tool, ...] | None:
        """Programs on PATH."""
        return self.facts.tools

    @cached_property
    def proxies(self) -> tuple[Proxy, ...] | None:
        """Configured proxies."""
        return self.facts.proxies

    @cached_property
    def routes(self) -> tuple[Route, ...] | None:
        """How the hosts of an installation would be reached."""
        return self.facts.routes

    @cached_property
    def route_shown(self) -> bool | None:
        """True when a request was made, or a program said something."""
        return True if self.anything_said or any(one.asked for one in self.facts.routes or ()) else None

    @cached_property
    def disks(self) -> tuple[Disk, ...] | None:
        """Free space where an installation writes."""
        return self.facts.host.disks

    @cached_property
    def gradients(self) -> Gradients | None:
        """What `verify-backprop` found; None too where it ended early and had found nothing wrong until then."""
        found = self.facts.gradients
        if found is None or (not found.complete and not found.untrusted):
            return None
        return found


def _is_dead(look: Observation) -> bool:
    """Whether it gave no answer; a nvidia-smi that leaves with an error has answered."""
    return look.state in ("timeout", "crashed") or (look.state == "failed" and look.look != "smi")


def _first(sightings: Iterable[Sighting], order: tuple[str, ...]) -> str | None:
    seen = {sighting.look: sighting.value for sighting in reversed(tuple(sightings))}
    ranked = [seen[look] for look in order if look in seen]
    return ranked[0] if ranked else next(iter(seen.values()), None)
