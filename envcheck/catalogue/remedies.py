"""Commands of Linux distributions and pages of vendors, for the fixes that diagnosis prints."""

from collections.abc import Collection
from functools import cache

from envcheck.catalogue.files import DATA, read_table
from envcheck.model.base import Value


class Distribution(Value, frozen=True, kw_only=True):
    """How one family of Linux distributions installs things; each entry is a shell line, in order."""

    names: tuple[str, ...]
    """Beginnings of os-release's PRETTY_NAME, lower case."""
    driver: tuple[str, ...] = ()
    open_only: bool = False
    """Whether `driver` brings the open kernel module, which GPUs before Turing do not take."""
    driver_note: str = ""
    """A page's name (`page`) to read before: a repository that must be added first."""
    rebuild: tuple[str, ...] = ()
    """Builds the kernel module for the running kernel anew."""
    initramfs: tuple[str, ...] = ()
    toolkit: tuple[str, ...] = ()
    """Installs nvidia-container-toolkit (its repository being known)."""
    fabric_manager: tuple[str, ...] = ()
    """Installs the fabric manager; `{branch}` is the driver's first number."""
    enrol_key: tuple[str, ...] = ()
    """Asks the firmware, at the next start, to accept the key that the kernel module is signed with."""
    libraries: tuple[str, ...] = ()
    """Installs the driver's user-space libraries; `{branch}` as above."""
    packages: tuple[str, ...] = ()
    """Lists the installed packages whose name begins with nvidia or libnvidia."""
    compiler: tuple[str, ...] = ()
    """Installs the C and C++ compilers."""
    venv: tuple[str, ...] = ()
    """Installs the part of Python that makes environments, where it is packaged apart."""
    source: str
    date: str


class Page(Value, frozen=True, kw_only=True):
    """A page on the web that a fix points to."""

    url: str
    source: str
    date: str


class LastBranch(Value, frozen=True, kw_only=True):
    """The newest driver branch that still drives a family of GPUs, up to a compute capability."""

    capability: str
    branch: str
    devices: tuple[str, ...]
    """The first digits of its PCI ids; the first row that fits counts."""
    source: str
    date: str


class OpenModule(Value, frozen=True, kw_only=True):
    """Which GPUs take no other than the open kernel module; `required_devices` as above."""

    required_devices: tuple[str, ...]
    source: str
    date: str


class Override(Value, frozen=True, kw_only=True):
    """The value of HSA_OVERRIDE_GFX_VERSION that lets AMD targets run a relative's kernels."""

    targets: tuple[str, ...]
    value: str
    source: str
    date: str


class Rented(Value, frozen=True, kw_only=True):
    """A machine by the hour whose GPU is chosen on its provider's site."""

    name: str
    variables: tuple[str, ...]
    """Set in every process there."""
    source: str
    date: str


class Remedies(Value, frozen=True, kw_only=True):
    """The whole data file."""

    distribution: tuple[Distribution, ...]
    page: dict[str, Page]
    last_branch: tuple[LastBranch, ...]
    open_module: OpenModule
    override: tuple[Override, ...]
    rented: tuple[Rented, ...]


@cache
def remedies() -> Remedies:
    """The data file, read once."""
    return read_table(f"{DATA}/remedies.toml", Remedies)


def distribution(os_name: str | None) -> Distribution | None:
    """The distribution that `os_name` (`Ubuntu 22.04.4 LTS`) begins like; the longest beginning wins."""
    name = (os_name or "").lower()
    fits = [(len(head), each) for each in remedies().distribution for head in each.names if name.startswith(head)]
    return max(fits, key=lambda fit: fit[0])[1] if fits else None


def override(gfx: str) -> str | None:
    """The HSA_OVERRIDE_GFX_VERSION that is known to help an AMD target."""
    return next((row.value for row in remedies().override if gfx in row.targets), None)


def last_branch(device: str) -> LastBranch | None:
    """The last driver branch of the GPU with that PCI id, where it has one: GPUs before Turing."""
    return next((row for row in remedies().last_branch if device.lower().startswith(row.devices)), None)


def needs_open_module(device: str) -> bool:
    """Whether the GPU with that PCI id takes the open kernel module only."""
    return device.lower().startswith(remedies().open_module.required_devices)


def rented(variables: Collection[str]) -> str | None:
    """Whose machine by the hour it is where these variables are set: `colab`, `kaggle`, `autodl`."""
    return next((row.name for row in remedies().rented if any(name in variables for name in row.variables)), None)


def page(name: str) -> str:
    """The address of the page of that name."""
    return remedies().page[name].url
