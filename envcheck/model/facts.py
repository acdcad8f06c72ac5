"""What was seen of a machine, frozen. `None` means unknown, never "no"; an empty tuple means "looked, none there".

Each section says which look saw it (`look`); a value that several looks report is a tuple of `Sighting`.
Nothing here is derived: conclusions belong to `diagnosis`.
"""

from typing import Literal

from envcheck.model.base import Value
from envcheck.model.gradients import Gradients

FACTS_SCHEMA = 1

State = Literal["ok", "absent", "failed", "timeout", "crashed", "skipped"]
OS = Literal["linux", "windows", "macos", "other"]


class Observation(Value, frozen=True, kw_only=True):
    """How one look ended. Every look leaves one, also the look that was not made."""

    look: str
    """Its name: `files`, `nvml`, `libcuda`, `smi`, `interpreter`, `torch`, `settings`, `proxies`, `text`, ..."""
    state: State
    ms: float | None = None
    stage: str | None = None
    """The step that had begun and not ended when the look died."""
    signal: str | None = None
    """`SIGSEGV` and friends."""
    returncode: int | None = None
    detail: str | None = None
    """Why, in the looked-at program's own (cleaned, capped) words."""


class Sighting(Value, frozen=True, kw_only=True):
    """A value and the look that saw it."""

    value: str
    look: str
    where: str | None = None
    """The file, variable, call or line it was read from."""


class Disk(Value, frozen=True, kw_only=True):
    """Free space where an installation writes: `role` is `target`, `temp` or `cache`."""

    role: str
    path: str
    free_bytes: int


class Host(Value, frozen=True, kw_only=True):
    """The operating system and what stands around it."""

    os: OS | None = None
    os_name: str | None = None
    """`Ubuntu 22.04.4 LTS`, `Windows 11 Pro`, `macOS 14.5`."""
    kernel: str | None = None
    machine: str | None = None
    """`x86_64`, `aarch64`, `arm64`, `i686` (Windows' AMD64 is written x86_64)."""
    libc: Literal["glibc", "musl", "none"] | None = None
    libc_version: str | None = None
    cpu_model: str | None = None
    cpu_flags: tuple[str, ...] | None = None
    """Those that matter: `avx`, `avx2`, `avx512f`, `fma`, `neon`, ..."""
    memory_bytes: int | None = None
    wsl: bool | None = None
    container: str | None = None
    """`docker`, `podman`, `kubernetes`, `lxc`, `apptainer`, ..., or `none`."""
    jetson: bool | None = None
    jetson_release: str | None = None
    """Board model and L4T release as the machine says them."""
    secure_boot: bool | None = None
    scheduler: str | None = None
    """`slurm`, `lsf`, `pbs`, ..., or `none`."""
    scheduler_gpus: str | None = None
    """What the scheduler says it gave (SLURM_JOB_GPUS, ...); None when it says nothing."""
    groups: tuple[str, ...] | None = None
    admin: bool | None = None
    fabric_manager: str | None = None
    """`active`, `inactive`, `failed`, `absent`."""
    disks: tuple[Disk, ...] | None = None
    language: str | None = None
    time_zone: str | None = None


class PciDevice(Value, frozen=True, kw_only=True):
    """A display or 3D controller (class 03xx) or NVSwitch bridge (class 0680) on the PCI bus; ids are 4 hex digits."""

    address: str
    vendor: str
    device: str
    pci_class: str
    driver: str | None = None
    """The kernel driver bound to it: `nvidia`, `nouveau`, `vfio-pci`, ...; None: none bound."""
    revision: str | None = None


class DeviceNode(Value, frozen=True, kw_only=True):
    """A node below /dev that a GPU needs: `/dev/nvidia0`, `/dev/nvidia-uvm`, `/dev/kfd`, `/dev/dxg`."""

    path: str
    readable: bool | None = None
    writable: bool | None = None
    mode: str | None = None
    group: str | None = None
    error: str | None = None
    """What open(2) said: `EPERM`, `EACCES`, `ENXIO`, `EIO`."""


class Gpu(Value, frozen=True, kw_only=True):
    """One NVIDIA GPU as the driver knows it (its order is not CUDA's order: join by UUID or PCI address)."""

    index: int
    name: str | None = None
    uuid: str | None = None
    pci_address: str | None = None
    """`00000000:01:00.0`, lower case."""
    compute_capability: str | None = None
    """`8.6`."""
    memory_bytes: int | None = None
    memory_free_bytes: int | None = None
    unified_memory: bool | None = None
    mig_enabled: bool | None = None
    mig_devices: tuple[str, ...] | None = None
    """UUIDs of the MIG instances."""
    compute_mode: str | None = None
    """`default`, `exclusive_process`, `prohibited`."""
    fabric_state: str | None = None
    """`not_supported`, `not_started`, `in_progress`, `completed`."""
    virtual: bool | None = None
    error: str | None = None
    """The state of a GPU that did not answer: `GPU_IS_LOST`, `RESET_REQUIRED`, ... (NVML's name)."""
    error_call: str | None = None
    look: str = "nvml"


class KernelModule(Value, frozen=True, kw_only=True):
    """A kernel module: `nvidia`, `nvidia_uvm`, `nouveau`, `amdgpu`, `vfio_pci`."""

    name: str
    loaded: bool
    version: str | None = None
    flavour: Literal["open", "proprietary"] | None = None
    look: str = "files"


class Library(Value, frozen=True, kw_only=True):
    """What the loader did with a driver library: the path it picked, or its error in its own words."""

    name: str
    """`libnvidia-ml.so.1`, `libcuda.so.1`, `nvml.dll`, `nvcuda.dll`."""
    path: str | None = None
    version: str | None = None
    error: str | None = None
    look: str = "nvml"


class ApiStatus(Value, frozen=True, kw_only=True):
    """A driver API call that did not return success: NVML's or CUDA's number, its name and the call."""

    api: Literal["nvml", "cuda"]
    call: str
    code: int
    name: str | None = None
    text: str | None = None
    look: str = "nvml"


class Nvidia(Value, frozen=True, kw_only=True):
    """The NVIDIA driver stack."""

    modules: tuple[KernelModule, ...] | None = None
    driver_versions: tuple[Sighting, ...] = ()
    """The driver version as each look saw it (`files`: the loaded kernel module)."""
    library_versions: tuple[Sighting, ...] = ()
    """The user-space libraries' version as each look saw it."""
    cuda_versions: tuple[Sighting, ...] = ()
    """The CUDA driver API version, `12.2`, as each look saw it."""
    libraries: tuple[Library, ...] = ()
    statuses: tuple[ApiStatus, ...] = ()
    gpus: tuple[Gpu, ...] | None = None
    nodes: tuple[DeviceNode, ...] | None = None
    smi_path: str | None = None
    smi_returncode: int | None = None
    packages: tuple[str, ...] | None = None
    """Driver packages that the system has installed, `nvidia-driver-535 535.183.01`; None: not looked."""
    modeset_files: tuple[str, ...] | None = None
    """Module files on disk for the running kernel (the driver is installed though not loaded)."""


class AmdGpu(Value, frozen=True, kw_only=True):
    """A KFD node with a GPU behind it."""

    index: int
    gfx: str | None = None
    """`gfx1100`."""
    name: str | None = None


class Amd(Value, frozen=True, kw_only=True):
    """AMD's compute stack (KFD, ROCm)."""

    gpus: tuple[AmdGpu, ...] | None = None
    kfd: DeviceNode | None = None
    render_nodes: tuple[DeviceNode, ...] | None = None
    rocm_version: str | None = None


class Environment(Value, frozen=True, kw_only=True):
    """A Python environment that was a candidate for the look."""

    path: str
    chosen_by: str
    """`--python`, `VIRTUAL_ENV`, `CONDA_PREFIX`, `PATH`, `self`."""
    version: str | None = None
    has_torch: bool | None = None
    torch_version: str | None = None


class Python(Value, frozen=True, kw_only=True):
    """The interpreter that is examined."""

    path: str | None = None
    chosen_by: str | None = None
    version: str | None = None
    implementation: str | None = None
    """`CPython`, `PyPy`, ..."""
    bits: int | None = None
    free_threaded: bool | None = None
    platform: str | None = None
    """sysconfig's platform: `linux-x86_64`, `win-amd64`, `macosx-14.0-arm64`."""
    libc: Literal["glibc", "musl", "none"] | None = None
    libc_version: str | None = None
    tags: tuple[str, ...] | None = None
    """The first few wheel tags it accepts, best first."""
    prefix: str | None = None
    base_prefix: str | None = None
    kind: Literal["venv", "conda", "system", "uv", "pyenv", "embedded", "other"] | None = None
    externally_managed: bool | None = None
    has_pip: bool | None = None
    has_ssl: bool | None = None
    user_site: str | None = None
    user_site_enabled: bool | None = None
    sys_path: tuple[str, ...] | None = None
    shadows: tuple[str, ...] | None = None
    """Files or folders named like torch (or numpy, ...) that win over the installed package."""
    candidates: tuple[Environment, ...] = ()
    pip_python: str | None = None
    """The interpreter behind the `pip` on PATH."""
    look: str = "interpreter"


class Package(Value, frozen=True, kw_only=True):
    """An installed distribution, name normalised (`nvidia-cudnn-cu12`)."""

    name: str
    version: str | None = None
    location: str | None = None
    installer: str | None = None
    """`pip`, `uv`, `conda`, ..."""
    build: str | None = None
    """conda's build string."""
    channel: str | None = None
    requires: tuple[str, ...] | None = None
    """Requires-Dist lines that pin torch or a CUDA library; None: not read."""


class TorchDevice(Value, frozen=True, kw_only=True):
    """One device as torch sees it, and how its first kernel ended."""

    kind: Literal["cuda", "rocm", "xpu", "mps", "cpu"]
    index: int
    name: str | None = None
    uuid: str | None = None
    compute_capability: str | None = None
    """`8.6` (CUDA)."""
    gfx: str | None = None
    memory_bytes: int | None = None
    kernel_ok: bool | None = None
    """Allocation, matrix product and its backward pass gave the right numbers."""
    kernel_error: str | None = None


class Torch(Value, frozen=True, kw_only=True):
    """torch in the examined interpreter. `installed` is about files, `imported` about the import."""

    installed: bool | None = None
    file: str | None = None
    version: str | None = None
    """With its local part: `2.13.0+cu126`."""
    variant: str | None = None
    """`cpu`, `cu126`, `rocm6.2`, `xpu`, `mps`: what the build was made for; None: unknown."""
    cuda: str | None = None
    """`torch.version.cuda`; see `cuda_known` for None."""
    cuda_known: bool = False
    """Whether `cuda`, `hip` and `xpu` were read (then None means that the build has none)."""
    hip: str | None = None
    xpu: str | None = None
    debug: bool | None = None
    git: str | None = None
    installer: str | None = None
    broken_files: tuple[str, ...] | None = None
    """Files that its RECORD names and the disk lacks (a sample), or a dist without a package."""
    imported: bool | None = None
    import_ms: float | None = None
    error_type: str | None = None
    error_text: str | None = None
    error_traceback: str | None = None
    cudnn: str | None = None
    nccl: str | None = None
    arch_list: tuple[str, ...] | None = None
    """`sm_80`, `compute_90`, `gfx942`: what the build holds kernels (or PTX) for."""
    cuda_available: bool | None = None
    available_error: str | None = None
    """What `torch.cuda.init()` or `device_count()` said when it is not."""
    device_count: int | None = None
    mps_available: bool | None = None
    xpu_available: bool | None = None
    devices: tuple[TorchDevice, ...] | None = None
    cpu_kernel_ok: bool | None = None
    cpu_capability: str | None = None
    threads: int | None = None
    mapped_libraries: tuple[str, ...] | None = None
    """CUDA, cuDNN, NCCL and OpenMP libraries that the process had mapped after the import."""
    look: str = "torch"


class Setting(Value, frozen=True, kw_only=True):
    """A setting of pip, uv or conda that decides where packages come from; URLs without credentials.

    Settings of one tool stand weakest first. A list has one row an item, a mapping one row a key.
    """

    tool: str
    """`pip`, `uv`, `conda`, `mamba`."""
    key: str
    """`index-url`, `extra-index-url`, `find-links`, `proxy`, `channels`, `default_channels`,
    `custom_channels.pytorch`, `proxy_servers.https`, `ssl_verify`, ...; uv's `default-index`, `index`,
    `explicit-index` after its options. `error`: the tool cannot read the file, `value` says why."""
    value: str
    origin: str
    """The file (with line where known) or environment variable."""
    effective: bool | None = None
    """Whether it is in force: False when a stronger one hides it."""


class Tool(Value, frozen=True, kw_only=True):
    """A program on PATH: `pip`, `uv`, `conda`, `mamba`, `pixi`, `nvcc`, `nvidia-smi`, `docker`, ..."""

    name: str
    path: str | None = None
    version: str | None = None


class Proxy(Value, frozen=True, kw_only=True):
    """A configured proxy, without credentials."""

    scheme: str
    """The scheme that it serves: `http`, `https`, `all`."""
    url: str
    origin: str
    """A variable, a file with its line, `Windows settings` or `macOS settings`."""
    tool: str | None = None
    """The tool whose own setting it is (`pip`, `uv`, `conda`); None: everybody's."""
    answers: bool | None = None
    """Whether a TCP connection to it was accepted (loopback proxies only, unless asked)."""
    socks_supported: bool | None = None


class Route(Value, frozen=True, kw_only=True):
    """How a host would be reached: the proxy in force, or None for direct, and why."""

    host: str
    """A host name, or `default index` where that host has no name in the configuration."""
    tool: str | None = None
    """The tool whose own setting makes this route (`pip`, `uv`, `conda`); None: the environment's, for all others."""
    proxy: str | None = None
    why: str | None = None
    address: str | None = None
    """What the name resolves to, when that was asked."""
    error: str | None = None
    """How a first request failed, when one was made: `PROXY`, `TLS`, `REFUSED`, `TIMEOUT`, `DNS`, `HTTP 407`, ..."""
    asked: bool = False
    """Whether a request was made at all (only before a download, never by `doctor`)."""


class Message(Value, frozen=True, kw_only=True):
    """Something that a program said: an error, a warning, a log line, or a command that a person typed."""

    kind: Literal["error", "warning", "log", "command"]
    text: str
    look: str
    where: str | None = None
    """The stage, or the line of the pasted text."""


class Variable(Value, frozen=True, kw_only=True):
    """An environment variable of the allow-list; `value` None: unset."""

    name: str
    value: str | None
    origin: str = "environment"


class Facts(Value, frozen=True, kw_only=True):
    """One machine at one moment."""

    schema: int = FACTS_SCHEMA
    taken_by: str | None = None
    """`envcheck 0.1.0`."""
    taken_at: str | None = None
    """ISO 8601, UTC."""
    source: Literal["live", "text"] = "live"
    redacted: bool = False
    observations: tuple[Observation, ...] = ()
    host: Host = Host()
    pci: tuple[PciDevice, ...] | None = None
    nvidia: Nvidia = Nvidia()
    amd: Amd = Amd()
    python: Python = Python()
    torch: Torch = Torch()
    packages: tuple[Package, ...] | None = None
    variables: tuple[Variable, ...] | None = None
    settings: tuple[Setting, ...] | None = None
    tools: tuple[Tool, ...] | None = None
    proxies: tuple[Proxy, ...] | None = None
    routes: tuple[Route, ...] | None = None
    messages: tuple[Message, ...] = ()
    gradients: Gradients | None = None
    """What `verify-backprop` found; None: it was not run."""
    sightings: dict[str, tuple[Sighting, ...]] = {}
    """Where single-valued facts were read, by their path (`torch.version`): pasted text and contested facts.
    Several values under one path: the looks disagree, and the first is the one in force."""

    def observation(self, look: str) -> Observation | None:
        """The observation that `look` left, or None when it was never made."""
        return next((seen for seen in self.observations if seen.look == look), None)
