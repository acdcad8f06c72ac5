"""Questions about torch's build, and about the GPUs that it would compute on: those that ask the catalogue."""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

from envcheck.catalogue.remedies import last_branch
from envcheck.diagnosis.machine import Machine
from envcheck.model.base import Plain
from envcheck.model.facts import Gpu, TorchDevice
from envcheck.model.patterns import regex
from envcheck.model.plan import Build
from envcheck.model.versions import capability, numbers

BuildKind = Literal["cuda", "rocm", "xpu", "cpu", "mps"]
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


class Card(Plain, frozen=True):
    """A GPU that torch's kernels would run on: where it stands in the facts, and what is known of it."""

    fact: str
    number: int
    name: str
    capability: str | None
    gfx: str | None = None
    kernel_ok: bool | None = None


class Builds(Machine):
    """A machine, and the builds of torch that are on it and that could be."""

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
            return tuple(self._card("torch.devices", one).but(gfx=one.gfx, kernel_ok=one.kernel_ok) for one in seen)
        return tuple(self._card("nvidia.gpus", one) for one in self.facts.nvidia.gpus or ())

    def _card(self, facts: str, one: Gpu | TorchDevice) -> Card:
        named = self.catalogue.capability_of(one.name) if one.name else None
        return Card(f"{facts}[{one.index}]", one.index, one.name or f"GPU {one.index}", one.compute_capability or named)

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
    def cards_to_compare(self) -> bool | None:
        """Whether GPUs are listed, or at least known by their ids to be older than every build; else None."""
        return bool(self.cards) or self.before_all_builds or None

    @cached_property
    def amd_targets(self) -> tuple[str, ...] | None:
        """The `gfx` names of the AMD GPUs, as torch or the kernel tells them; None when none is known."""
        seen = [card.gfx.split(":")[0] for card in self.cards if card.gfx]
        known = [one.gfx for one in self.facts.amd.gpus or () if one.gfx]
        return tuple(dict.fromkeys(seen or known)) or None
