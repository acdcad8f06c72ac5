"""Questions about the machine that more than one check asks: what was said, which GPUs, which build of torch.

Every answer is None when the facts do not say; pasted text lists only what somebody pasted, so there an absence
is unknown as well.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

from envcheck.catalogue import Catalogue
from envcheck.catalogue.remedies import last_branch, rented
from envcheck.model.base import Plain
from envcheck.model.facts import (
    ApiStatus,
    DeviceNode,
    Facts,
    Gpu,
    KernelModule,
    Library,
    Message,
    Observation,
    PciDevice,
    Variable,
)
from envcheck.model.patterns import regex
from envcheck.model.plan import Build
from envcheck.model.versions import capability, numbers

BuildKind = Literal["cuda", "rocm", "xpu", "cpu", "mps"]
Said = tuple[tuple[Message, dict[str, str]], ...]

NVIDIA, AMD, INTEL = "10de", "1002", "8086"
_CUDA_ASKED = regex(
    r"(?:/whl/(?:nightly/|test/)?cu|\btorch={2,3}[\d.]{3,12}\+cu)(?P<tag>\d{2,3})\b"
    r"|\b(?:cudatoolkit|pytorch-cuda)={1,2}(?P<version>\d{1,2}\.\d)\b"
)
"""The CUDA that a command of pip or conda asks for."""
_INSTALLS = regex(r"\b(?:pip3?(?:\.\d+)?|uv pip|conda|mamba|micromamba) (?:install|create)\b|\buv add\b")
_PINNED = regex(
    r"\bpip3?(?:\.\d+)? install\b[^\n]{0,200}?\btorch={2,3}(?P<version>\d{1,2}\.\d{1,2}\.\d{1,2})(?![\w.+])"
)
_VARIANT_ASKED = regex(r"/whl/(?:nightly/)?(?:cu|cpu|rocm|xpu)|\+(?:cu|cpu|rocm)|\.whl\b")
_LOOKS_WITH_WORDS = ("smi", "torch")
_QUIET = ("ok", "absent", "skipped")
_ABSENT = "No such file"
"""What is not there has nothing to say; facts tell it, and no signature needs to be read for it."""


class Card(Plain, frozen=True):
    """A GPU that torch's kernels would run on: where it stands in the facts, and what is known of it."""

    fact: str
    number: int
    name: str
    capability: str | None
    gfx: str | None = None
    kernel_ok: bool | None = None


_CLASSES = ("03", "12")
"""PCI classes of GPUs: display controllers, and the processing accelerators as which AMD's MI300 shows itself."""


class Machine:
    """Facts and catalogue, and what follows from both."""

    def __init__(self, facts: Facts, catalogue: Catalogue) -> None:
        self.facts = facts
        self.catalogue = catalogue

    # --- what was said ---------------------------------------------------------------------------------------------

    def said(self, signature: str) -> Said:
        """Messages that match the catalogue's signature of that name (a cause slug), with its named groups."""
        return self._said.get(signature, ())

    @cached_property
    def _said(self) -> dict[str, Said]:
        return self.catalogue.recognise(self.heard)

    @cached_property
    def heard(self) -> tuple[Message, ...]:
        """All that programs said: the messages, and the words that facts keep beside them."""
        said = "\0".join(message.text for message in self.facts.messages)
        return self.facts.messages + tuple(message for message in self._overheard() if message.text not in said)

    def _overheard(self) -> Iterator[Message]:
        torch = self.facts.torch
        words = [("torch.error_text", torch.error_text), ("torch.available_error", torch.available_error)]
        words += [(f"torch.devices[{one.index}].kernel_error", one.kernel_error) for one in torch.devices or ()]
        for where, text in words:
            if text:
                yield Message(kind="error", text=text, look=torch.look, where=where)
        for library in self.facts.nvidia.libraries:
            if library.error and _ABSENT not in library.error:
                text = f"{library.path or library.name}: {library.error}"
                yield Message(kind="error", text=text, look=library.look, where="nvidia.libraries")
        for seen in self.facts.observations:
            if seen.detail and seen.state not in _QUIET and seen.look in _LOOKS_WITH_WORDS:
                yield Message(kind="error", text=seen.detail, look=seen.look, where=f"observations.{seen.look}")

    @cached_property
    def anything_said(self) -> bool | None:
        """True when there is any message at all."""
        return True if self.heard else None

    # --- the system ------------------------------------------------------------------------------------------------

    @cached_property
    def pasted(self) -> bool:
        """Whether the facts come from text that somebody pasted, which shows only a part."""
        return self.facts.source == "text"

    @cached_property
    def in_container(self) -> bool | None:
        """Whether this is the inside of a container."""
        kind = self.facts.host.container
        return None if kind is None else kind != "none"

    @cached_property
    def on_macos(self) -> bool | None:
        """Whether the system is macOS."""
        return None if self.facts.host.os is None else self.facts.host.os == "macos"

    @cached_property
    def host_machine(self) -> str | None:
        """The processor's architecture."""
        return self.facts.host.machine

    @cached_property
    def libc(self) -> str | None:
        """`glibc`, `musl` or `none`: what the interpreter stands on, else the system's."""
        return self.facts.python.libc or self.facts.host.libc

    @cached_property
    def libc_version(self) -> str | None:
        """Its version."""
        return self.facts.python.libc_version or self.facts.host.libc_version

    @cached_property
    def illegal_instruction(self) -> bool | None:
        """Whether the look at torch was ended by SIGILL."""
        seen = self.facts.observation("torch")
        return None if seen is None else seen.signal in ("SIGILL", "ILLEGAL_INSTRUCTION")

    @cached_property
    def scheduler(self) -> str | None:
        """The cluster scheduler whose job this is, or `none`."""
        return self.facts.host.scheduler or ("slurm" if self.variable("SLURM_JOB_ID") else None)

    @cached_property
    def wsl(self) -> bool | None:
        """Whether this is the Windows Subsystem for Linux."""
        return self.facts.host.wsl

    @cached_property
    def jetson(self) -> bool | None:
        """Whether this is a Jetson board."""
        return self.facts.host.jetson

    @cached_property
    def driver_os(self) -> str | None:
        """The system whose driver is in force: WSL uses the Windows driver."""
        return "windows" if self.facts.host.wsl else self.facts.host.os

    @cached_property
    def variables(self) -> tuple[Variable, ...] | None:
        """The environment variables of the allow-list."""
        return self.facts.variables

    def variable(self, name: str) -> str | None:
        """An environment variable's value; None when it is unset or was not looked at, `""` when it is empty."""
        return next((one.value for one in self.facts.variables or () if one.name == name), None)

    @cached_property
    def rented(self) -> str | None:
        """The provider of a machine whose GPU is chosen on its site (`colab`), where that is known."""
        told = next((name for _, groups in self.said("rented_machine") for name in groups), None)
        return told or rented([one.name for one in self.facts.variables or ()])

    # --- cards on the bus ------------------------------------------------------------------------------------------

    @cached_property
    def nvidia_pci(self) -> tuple[PciDevice, ...] | None:
        """NVIDIA display and 3D controllers on the PCI bus."""
        return self._controllers(NVIDIA)

    @cached_property
    def amd_pci(self) -> tuple[PciDevice, ...] | None:
        """AMD display and 3D controllers on the PCI bus."""
        return self._controllers(AMD)

    @cached_property
    def intel_pci(self) -> tuple[PciDevice, ...] | None:
        """Intel display and 3D controllers on the PCI bus."""
        return self._controllers(INTEL)

    def _controllers(self, vendor: str) -> tuple[PciDevice, ...] | None:
        if self.facts.pci is None:
            return None
        found = tuple(one for one in self.facts.pci if one.vendor == vendor and one.pci_class[:2] in _CLASSES)
        return None if not found and self.pasted else found

    @cached_property
    def has_nvidia(self) -> bool | None:
        """Whether an NVIDIA GPU is there; WSL and many virtual machines show no PCI bus, so absence is rarely sure."""
        if self.facts.nvidia.gpus or self.nvidia_pci or self.facts.host.jetson:
            return True
        if any(one.kind == "cuda" for one in self.facts.torch.devices or ()):
            return True
        if self.facts.host.os == "macos" and self.facts.host.machine == "arm64":
            return False
        surely_looked = self.nvidia_pci == () and not self.facts.host.wsl
        return False if surely_looked else None

    # --- the NVIDIA stack ------------------------------------------------------------------------------------------

    def module(self, name: str) -> KernelModule | None:
        """What is known of a kernel module."""
        return next((one for one in self.facts.nvidia.modules or () if one.name == name), None)

    @cached_property
    def nvidia_module_loaded(self) -> bool | None:
        """Whether the kernel module `nvidia` is loaded."""
        found = self.module("nvidia")
        if found is not None:
            return found.loaded
        return None if self.facts.nvidia.modules is None or self.pasted else False

    @cached_property
    def nodes(self) -> tuple[DeviceNode, ...] | None:
        """The nodes below /dev that belong to NVIDIA."""
        return self.facts.nvidia.nodes

    def libraries(self, stem: str) -> tuple[Library, ...]:
        """What the loader did with the library of that stem (`libcuda`, `libnvidia-ml`; Windows' names count)."""
        names = {"libcuda": ("libcuda", "nvcuda"), "libnvidia-ml": ("libnvidia-ml", "nvml")}[stem]
        return tuple(one for one in self.facts.nvidia.libraries if one.name.startswith(names))

    def has_library(self, stem: str) -> bool | None:
        """Whether that library could be opened."""
        found = self.libraries(stem)
        return any(one.path and not one.error for one in found) if found else None

    def nvml_status(self, *codes: int) -> ApiStatus | None:
        """The first NVML call that returned one of `codes`."""
        return self._status("nvml", codes)

    def cuda_status(self, *codes: int) -> ApiStatus | None:
        """The first CUDA call that returned one of `codes`."""
        return self._status("cuda", codes)

    def _status(self, api: str, codes: tuple[int, ...]) -> ApiStatus | None:
        return next((one for one in self.facts.nvidia.statuses if one.api == api and one.code in codes), None)

    @cached_property
    def driver_traces(self) -> bool:
        """Whether anything of NVIDIA's driver is on this system, working or not."""
        nvidia = self.facts.nvidia
        opened = [one for one in nvidia.libraries if one.path and not one.error and "/stubs/" not in one.path]
        return any((self.nvidia_module_loaded, nvidia.driver_versions, nvidia.smi_path, nvidia.packages, opened))

    @cached_property
    def driver_answered(self) -> bool | None:
        """True when any look says anything of NVIDIA's driver: a version, a library, a status, a GPU."""
        nvidia = self.facts.nvidia
        known = (
            *(nvidia.driver_versions, nvidia.library_versions, nvidia.cuda_versions),
            *(nvidia.libraries, nvidia.statuses, nvidia.gpus),
        )
        return True if any(known) else None

    @cached_property
    def looked_at_driver(self) -> bool | None:
        """True when the driver's libraries or programs were looked at, whatever came of it."""
        return True if any(self.facts.observation(look) for look in ("nvml", "libcuda", "smi")) else None

    @cached_property
    def smi_look(self) -> Observation | None:
        """How the look by nvidia-smi ended."""
        return self.facts.observation("smi")

    @cached_property
    def secure_boot(self) -> bool | None:
        """Whether the firmware admits signed code only."""
        return self.facts.host.secure_boot

    @cached_property
    def kfd(self) -> DeviceNode | None:
        """AMD's compute device."""
        return self.facts.amd.kfd

    @cached_property
    def listed(self) -> tuple[Gpu, ...] | None:
        """GPUs that the driver itself listed; those that only files name say nothing of whether it answers."""
        gpus = self.facts.nvidia.gpus
        answered = tuple(gpu for gpu in gpus or () if gpu.look not in ("files", "words"))
        return answered if answered or gpus == () else None

    # --- torch's build ---------------------------------------------------------------------------------------------

    @cached_property
    def variant(self) -> str | None:
        """`cu126`, `rocm6.4`, `cpu`, `xpu`, `mps`: as the facts have it, else from the version's local part."""
        torch = self.facts.torch
        local = (torch.version or "").partition("+")[2]
        named = re.match(r"cpu|cu\d{2,3}|rocm\d[\d.]*|xpu", local)
        return torch.variant or (named[0] if named else None)

    @cached_property
    def build_kind(self) -> BuildKind | None:
        """What torch was built for."""
        torch, variant = self.facts.torch, self.variant or ""
        if torch.cuda or variant.startswith("cu"):
            return "cuda"
        if torch.hip or variant.startswith("rocm"):
            return "rocm"
        if torch.xpu or variant == "xpu":
            return "xpu"
        if variant == "mps" or (torch.cuda_known and self.facts.host.os == "macos"):
            return "mps"
        return "cpu" if variant == "cpu" or torch.cuda_known else None

    @cached_property
    def build_cuda(self) -> str | None:
        """The CUDA version that torch was built with, `12.6`; old builds state the patch, too (`10.0.130`)."""
        if self.facts.torch.cuda:
            return ".".join(self.facts.torch.cuda.split(".")[:2])
        digits = re.fullmatch(r"cu(\d{1,2})(\d)", self.variant or "")
        return f"{digits[1]}.{digits[2]}" if digits else None

    @cached_property
    def wheel_cuda(self) -> str | None:
        """`build_cuda`; in a thread that is silent about it, that of the release's wheel on the default index."""
        version = self.facts.torch.version or self._pinned_plainly
        if self.build_cuda is None and self._asked_cuda:
            return self._asked_cuda
        if self.build_cuda or not self.pasted or self.build_kind or version is None or "+" in version:
            return self.build_cuda
        silent = self.facts.torch.cuda_available is False and not self.said("not_compiled_with_cuda")
        # Only drivers for Linux have a version of three parts.
        threes = any(one.value.count(".") > 1 for one in self.facts.nvidia.driver_versions)
        linux = self.facts.host.os == "linux" or (self.facts.host.os is None and threes)
        if not linux or self.facts.torch.installer == "conda" or not silent:
            return None
        rows = (one for one in self.builds_here if one.os == "linux" and one.torch == version and one.on_default_index)
        return next((one.cuda for one in rows if one.cuda), None)

    @cached_property
    def _asked_cuda(self) -> str | None:
        """The one CUDA whose build the pasted commands ask for, where nothing else tells the build."""
        torch = self.facts.torch
        if (
            not self.pasted
            or torch.cuda_available is not False
            or self.build_kind
            or self.said("not_compiled_with_cuda")
        ):
            return None
        lines = (line for message in self.heard for line in message.text.split("\n") if _INSTALLS.search(line))
        found = [match for line in lines for match in _CUDA_ASKED.finditer(line)]
        tags = {match["version"] or f"{match['tag'][:-1]}.{match['tag'][-1]}" for match in found}
        return tags.pop() if len(tags) == 1 else None

    @cached_property
    def _pinned_plainly(self) -> str | None:
        """The release of torch that a pip command names, where it leaves the variant to the default index."""
        commands = (message.text for message in self.heard if message.kind == "command")
        found = (_PINNED.search(text) for text in commands if not _VARIANT_ASKED.search(text))
        return next((match["version"] for match in found if match), None)

    @cached_property
    def wants_nvidia(self) -> bool | None:
        """Whether somebody means to compute on an NVIDIA GPU here: a CUDA build, or a driver that was installed."""
        if self.build_kind == "cuda" or self.driver_traces:
            return True
        return None if self.build_kind is None else False

    @cached_property
    def builds_here(self) -> tuple[Build, ...]:
        """Official wheels for this system and machine, as far as both are known."""
        host = self.facts.host
        return self.catalogue.builds_on(host.os, host.machine)

    @cached_property
    def kernels(self) -> tuple[str, ...] | None:
        """What torch holds kernels for: its own list, else the catalogue's for that release and variant."""
        torch = self.facts.torch
        if torch.arch_list:
            return torch.arch_list
        rows = [one.capabilities for one in self._builds_like_this() if one.capabilities]
        return tuple(dict.fromkeys(kernel for row in rows for kernel in row)) or None

    def _builds_like_this(self) -> Iterator[Build]:
        version = self.facts.torch.version
        if version is None or self.build_kind not in ("cuda", "rocm"):
            return
        base, variant = version.partition("+")[0], self.variant
        cuda = ".".join(self.build_cuda.split(".")[:2]) if self.build_cuda else None
        for one in self.builds_here:
            if one.torch == base and one.variant != "cpu" and (variant == one.variant or (cuda and cuda == one.cuda)):
                yield one

    @cached_property
    def cards(self) -> tuple[Card, ...]:
        """The GPUs that torch would compute on: as torch sees them, else as the driver lists them."""
        seen = [one for one in self.facts.torch.devices or () if one.kind in ("cuda", "rocm")]
        if seen:
            return tuple(
                Card(
                    f"torch.devices[{one.index}]",
                    one.index,
                    one.name or f"GPU {one.index}",
                    one.compute_capability or (self.catalogue.capability_of(one.name) if one.name else None),
                    one.gfx,
                    one.kernel_ok,
                )
                for one in seen
            )
        return tuple(
            Card(
                f"nvidia.gpus[{one.index}]",
                one.index,
                one.name or f"GPU {one.index}",
                one.compute_capability or (self.catalogue.capability_of(one.name) if one.name else None),
            )
            for one in self.facts.nvidia.gpus or ()
        )

    @cached_property
    def card_list(self) -> tuple[Card, ...] | None:
        """The same, None when no GPU is known."""
        return self.cards or None

    @cached_property
    def before_all_builds(self) -> bool:
        """Whether every GPU is older than all that official CUDA builds have kernels for; False where that is open.

        Where no driver lists them, the ids of the cards on the bus tell how old they are.
        """
        named = [card.capability for card in self.cards]
        rows = [last_branch(card.device) for card in self.nvidia_pci or ()]
        told = named or [row.capability if row else None for row in rows]
        have = [capability(one) for one in told if one]
        return bool(told) and len(have) == len(told) and all(one < self._least_served for one in have if one)

    @cached_property
    def _least_served(self) -> tuple[int, int]:
        """The least compute capability that builds have kernels for; a release from before the catalogue had others."""
        version, host = self.facts.torch.version, self.facts.host
        if version and numbers(version) < min(numbers(one.torch) for one in self.catalogue.builds()):
            return capability(self.catalogue.oldest_served()) or (0, 0)
        return self.catalogue.least_served(host.os, host.machine)

    @cached_property
    def kernels_to_compare(self) -> bool | None:
        """Whether it can be told which GPUs have kernels: the build is known, or none has any; else None."""
        return bool(self.kernels) or self.before_all_builds or None

    @cached_property
    def amd_targets(self) -> tuple[str, ...] | None:
        """The `gfx` names of the AMD GPUs, as torch or the kernel tells them; None when none is known."""
        seen = [card.gfx.split(":")[0] for card in self.cards if card.gfx]
        known = [one.gfx for one in self.facts.amd.gpus or () if one.gfx]
        return tuple(dict.fromkeys(seen or known)) or None
