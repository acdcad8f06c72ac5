"""Where the torch index stands beside the default one, and machines that take torch from elsewhere."""

from envcheck.model.base import Value


class Index(Value, frozen=True, kw_only=True):
    """How PyTorch's own index is named in commands: beside the default index up to a release, then alone."""

    beside_until: str
    nightly: str
    companion_labels_until: str
    """Last release whose torchvision and torchaudio carry the variant's label (on x86_64)."""
    source: str
    date: str


class JetsonRelease(Value, frozen=True, kw_only=True):
    """NVIDIA's wheels for one generation of L4T."""

    l4t: str
    jetpack: str
    index: str


class Jetson(Value, frozen=True, kw_only=True):
    """NVIDIA's Jetson boards; `own_builds` are the capabilities that official builds have no kernels for."""

    page: str
    own_builds: tuple[str, ...]
    release: tuple[JetsonRelease, ...]
    source: str
    date: str


class Intel(Value, frozen=True, kw_only=True):
    """PCI device ids (4 hex digits, lower case) of Intel GPUs that the xpu builds drive."""

    devices: frozenset[str]
    source: str
    date: str


class Platforms(Value, frozen=True, kw_only=True):
    """`data/platforms.toml`."""

    index: Index
    jetson: Jetson
    intel: Intel
