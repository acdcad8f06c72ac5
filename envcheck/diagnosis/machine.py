"""Questions about the machine that more than one check asks: what was said, the system, the NVIDIA stack.

Every answer is None when the facts do not say; pasted text lists only what somebody pasted, so there an absence
is unknown as well.
"""

from collections.abc import Iterator
from functools import cached_property

from envcheck.catalogue import Catalogue
from envcheck.catalogue.remedies import rented
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

Said = tuple[tuple[Message, dict[str, str]], ...]

NVIDIA, AMD, INTEL = "10de", "1002", "8086"
_LOOKS_WITH_WORDS = ("smi", "torch")
_QUIET = ("ok", "absent", "skipped")
_ABSENT = "No such file"
"""What is not there has nothing to say; facts tell it, and no signature needs to be read for it."""
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
        told = (*self.said("rented_machine"), *self.said("rented_page"))
        named = next((name for _, groups in told for name in groups), None)
        return rented([one.name for one in self.facts.variables or ()]) or named

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
