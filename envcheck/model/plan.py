"""What `install` would do: the chosen build, every other build with the reason why not, and the wish behind it."""

from typing import Literal

from envcheck.model.base import Value
from envcheck.model.text import Text


class Build(Value, frozen=True, kw_only=True):
    """One official build of torch: a row of the catalogue."""

    torch: str
    """`2.13.0`."""
    variant: str
    """`cpu`, `cu126`, `rocm6.4`, `xpu`, `mps`; for conda the same words."""
    channel: Literal["wheel", "conda-forge", "pytorch-conda"] = "wheel"
    os: Literal["linux", "windows", "macos"]
    machine: str
    """`x86_64`, `aarch64`, `arm64`."""
    pythons: tuple[str, ...]
    """`3.10`, ..., free-threaded ones as `3.13t`."""
    libc: str | None = None
    """The oldest glibc it runs on, `2.28`; None: no such need."""
    cuda: str | None = None
    """CUDA toolkit version it was built with, `12.6`."""
    capabilities: tuple[str, ...] = ()
    """`sm_80`, `compute_90` (PTX), `gfx1100`; empty for CPU builds."""
    local: str = ""
    """The local version label to pin, `+cu126`, or empty where the wheel has none."""
    index: str | None = None
    """The index that carries it; None: the default index."""
    torchvision: str | None = None
    torchaudio: str | None = None
    on_default_index: bool = False
    """Whether the default index has this very build too, there without local label."""
    os_version: str | None = None
    """The oldest macOS it runs on, `14.0`; None: no such need."""
    tag: str = ""
    """Platform tag of the wheel's file name, where no label tells it from other builds of that version."""
    source: str = ""
    date: str = ""


class Rejection(Value, frozen=True, kw_only=True):
    """A build that was not chosen."""

    build: Build
    reason: Text
    rule: str
    """The name of the rule that dropped it: `driver`, `capability`, `python`, `libc`, `os`, `wish`, `older`, ..."""


class Plan(Value, frozen=True, kw_only=True):
    """The recommendation for one machine: at most one build, and why the others are not it."""

    build: Build | None
    reason: Text
    rejected: tuple[Rejection, ...] = ()
    notes: tuple[Text, ...] = ()
    nearest: tuple[Text, ...] = ()
    """When nothing fits: the smallest changes that would make something fit."""


class Wish(Value, frozen=True, kw_only=True):
    """What was asked of a plan."""

    torch: str | None = None
    """A version (`2.6` stands for every 2.6.x) or a specifier (`>=2.4,<2.9`)."""
    cuda: str | None = None
    """A toolkit, `12.6`."""
    variant: str | None = None
    """`cpu`, `cu126`, `rocm6.4`, `xpu`, `mps`."""
    pre: bool = False
    """Whether pre-releases count."""
    requirements: tuple[str, ...] = ()
    """Requirements of torch, torchvision and torchaudio in the form of `packaging`."""
    conda: bool = False
    """conda packages rather than wheels."""
