"""What the operating system says: uname, os-release, lspci, lsmod, the kernel module's own file, nvcc, ldd."""

import re
from itertools import pairwise

from envcheck.diagnosis.evidence.devices import gfx_seen
from envcheck.diagnosis.evidence.draft import LOOK, Draft
from envcheck.diagnosis.evidence.page import Line, Page, command_of
from envcheck.model.facts import KernelModule, PciDevice, Tool
from envcheck.model.patterns import regex
from envcheck.model.versions import cuda_of_int

_NVRM = regex(
    r"NVRM(?: version)?:\s+(?:loading )?NVIDIA UNIX\s+"
    r"(?P<open>Open )?(?:Kernel Module for\s+)?(?P<machine>x86_64|aarch64|arm64)?"
    r"(?:\s+Kernel Module)?\s+(?P<version>\d{3}\.\d+(?:\.\d+)?)"
)
_NVCC = regex(r"Cuda compilation tools, release (?P<release>\d+\.\d+)(?:, V(?P<version>[\d.]+))?")
_UNAME = regex(r"^\s*Linux (?:\S+ )?(?P<kernel>\d+\.\d+\S*) (?:.*?\b)?(?P<machine>x86_64|aarch64|ppc64le|i686)\b")
_OS_RELEASE = regex(r"^\s*(?:PRETTY_NAME=\"?|Description:\s+)(?P<name>[^\"\n]{2,80})\"?\s*$")
_DISTRIBUTION = regex(
    r"^\s*(?P<name>(?:Ubuntu|Debian GNU/Linux|Fedora(?: Linux)?|CentOS(?: Linux| Stream)?|Arch Linux|Rocky Linux"
    r"|AlmaLinux) ?\d{0,2}(?:\.\d{1,2}){0,2}(?: LTS)?(?: \([^)]{1,40}\))?)\s*$"
)
_WINDOWS = regex(r"(?:Microsoft )?Windows \[[^\d\]]{0,20}(?P<version>\d+\.\d+\.\d+(?:\.\d+)?)\]")
_LSMOD = regex(r"^(?P<name>nvidia|nvidia_uvm|nvidia_drm|nvidia_modeset|nouveau|amdgpu|vfio_pci)\s+\d{3,}\s+\d+\b")
_LSMOD_UVM = regex(r"\blsmod\b[^|\n]{0,4}\|\s{0,3}e?grep\b[^|\n]{0,12}nvidia[-_]uvm\W{0,3}$")
_LSPCI = regex(
    r"^\s*(?P<address>(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) (?P<kind>VGA compatible controller|3D controller"
    r"|Display controller|Processing accelerators|Bridge)[^:]{0,20}: "
    r"(?P<vendor>NVIDIA|Advanced Micro Devices|AMD|Intel)[^(\n]{0,200}"
    r"(?P<revision>\(rev [0-9a-f]{2}\))?"
)
_HOSTNAMECTL = regex(
    r"^\s*Operating System:\s+(?P<name>(?!.*Windows)[A-Z][^\n]{2,60}?)\s*$"
    r"|^\s*Kernel:\s+Linux (?P<kernel>\d+\.\d+\S*)\s*$|^\s*Architecture:\s+(?P<machine>x86[-_]64|arm64|aarch64)\s*$"
)
_VIRTUAL = regex(
    r"\b__linux=(?P<kernel>\d[\w.-]*)|\b__glibc={1,2}(?P<glibc>\d\.\d+)|\b__archspec=\d=(?P<machine>aarch64|x86_64)\b"
)
_DRIVER_IN_USE = regex(r"^\s+Kernel driver in use: (?P<driver>[\w-]+)")
_UV_PLATFORM = regex(
    r"(?:\bYou're on \w{1,12}|\bplatform tag) \((?:e\.g\.,? )?"
    r"`(?P<tag>(?:macosx|win|manylinux|musllinux)_[\w.…]{1,30})`\)"
)
_UV_INTERPRETER = regex(
    r"\bcpython-3\.\d{1,2}\.\d{1,2}\w{0,4}(?:\+freethreaded)?-(?P<system>linux|macos|windows)-(?P<machine>x86_64|aarch64)"
    r"-(?P<libc>gnu|musl|none)\b"
)
_GLIBC = regex(r"^\s*ldd \([^)]{1,60}\) (?P<version>\d\.\d+)|\bGLIBC[ _-](?P<other>\d\.\d+)\s*$")
_DRIVER_INT = regex(r"^\s*Driver Version\s*:\s*(?P<number>\d{4,5})\s*$")
_NVML_LIBRARY = regex(r"NVML library version: (?P<version>\d{3}\.\d+(?:\.\d+)?)")
_DRIVER_PACKAGE = regex(
    r"^(?!rc\s).{0,80}?\b(?:nvidia-(?:smi|driver|utils|compute-utils)|libnvidia-compute)(?:-\d{3})?(?:-(?:server|open))*(?::amd64)?"
    r"\s+(?P<version>\d{3}\.\d+(?:\.\d+)?)-\d"
)
_DPKG = regex(
    r"^(?P<state>ii|rc|iU|iF)\s+(?P<name>(?:nvidia-|libnvidia-|linux-modules-nvidia-|cuda-drivers)[\w.:+-]*)\s+(?P<version>\S+)"
)
_DPKG_LOG = regex(
    r"\binstall (?P<name>(?:nvidia-driver|libnvidia-compute|cuda-drivers)[\w.-]*):(?:amd64|arm64) \S+"
    r" (?P<version>\d\S*)"
    r"|^\s{0,4}(?P<chosen>(?:nvidia-driver|libnvidia-compute|cuda-drivers)[\w.-]*)(?::\w{3,8})?\s+install\s*$"
)
"""dpkg.log, and dpkg --get-selections."""
_GFX = regex(r"\bamdgcn-amd-amdhsa--(?P<gfx>gfx[0-9a-f]{3,4})|^\s*Name:\s+(?P<name>gfx[0-9a-f]{3,4})\b")
_APT_LOG = regex(
    r"^Install: .{0,2000}?\b(?P<name>(?:libnvidia-compute|nvidia-utils|nvidia-driver)-\d{3})(?::\w+)?"
    r" \((?P<version>\d\S*?)[,)]"
)
_APT_UPGRADE = regex(
    r"^Upgrade: .{0,4000}?\b(?:libnvidia-compute|nvidia-utils|nvidia-driver|libnvidia-gl)-\d{3}(?:-server)?(?::\w+)?"
    r" \(\d{3}\.[\d.]{2,8}\S{0,30}, (?P<version>\d{3}\.\d{1,3}(?:\.\d{1,3})?)"
)
_PACMAN = regex(r"\[ALPM\] upgraded nvidia-utils \(\d{3}\.\S{1,20} -> (?P<version>\d{3}\.\d{1,3}(?:\.\d{1,3})?)-")
_CUDA_OF_CONDA = regex(r"^\s{4,60}__cuda=(?P<version>\d{1,2}\.\d{1,2})(?:=\d+)?\s*$")
"""The driver's CUDA, as conda info tells it."""
_MODULE_ASKED = regex(r"\bmodinfo (?:-F version nvidia|nvidia -F version)\s*$")
_MODULE_VERSION = regex(r"^\s{0,4}(?P<version>\d{3}\.\d{2,3}(?:\.\d{2,3})?)\s*$")
_MODULE_LOADED = "/sys/module/nvidia/version"
_CPU_FLAGS = regex(r"^\s{0,8}[Ff]lags\s{0,20}:\s{1,40}(?P<flags>fpu [\w ]{80,4000})")
_VECTOR = ("sse4_2", "avx", "f16c", "fma", "avx2", "avx512f")
_TORCH_LIBRARY = regex(
    r"(?:^|[\\/\s])(?:lib)?(?P<name>c10(?:_cuda|_hip)?|torch(?:_cpu|_cuda|_hip|_python|_global_deps)?|shm)"
    r"\.(?:dll|so|dylib)\b"
)
_SOME_FILES = 3
_ARCH_LINE = regex(r"\s{0,8}(?:amdhsa--)?(?P<name>sm_\d{2,3}[a-z]?|gfx[0-9a-f]{3,4})\s{0,4}$")
_BARE_LIST = regex(r"\s{0,4}\[(?:'(?:sm|compute)_\d{2,3}[a-z]?'(?:, )?){2,40}\]\s{0,4}$")
"""What `torch.cuda.get_arch_list()` gives."""
_SEEKS = regex(
    r"\b(?:(?P<modules>lsmod)|(?P<packages>dpkg (?:-l|--list)|rpm -qa|apt list --installed|pacman -Qs?))"
    r"\s{0,2}\|\s{0,2}e?grep (?:-i )?[\"']?nvidia[\"']?\s{0,4}$"
    r"|\bgrep (?P<counted>-c) nvidia /proc/modules\s{0,4}$"
)
_MANAGER = "is-active nvidia-fabricmanager"
_EMPTY_PROMPT = regex(r"\s{0,4}(?:\[?[\w.@-]{1,60}[:~/ ][^\n]{0,60})?[$#]\s{0,4}$")
MAX_PACKAGES = 200
_VENDORS = {"NVIDIA": "10de", "Advanced Micro Devices": "1002", "AMD": "1002", "Intel": "8086"}


def read(page: Page, draft: Draft) -> None:
    """Each line on its own, except for lspci, whose driver line belongs to the device above."""
    device: str | None = None
    packages: list[str] = []
    asked_uvm = asked_module = asked_loaded = False
    removed: Line | None = None
    for line in page.lines:
        module = _MODULE_VERSION.match(line.text) if asked_module else None
        if module:  # the module's file, which is newer than the loaded one where both were asked for
            kind = "library_versions" if _MODULE_LOADED in page.text else "driver_versions"
            draft.see_many(f"nvidia.{kind}", module["version"], line)
        loaded = _MODULE_VERSION.match(line.text) if asked_loaded else None
        if loaded:
            draft.see_many("nvidia.driver_versions", loaded["version"], line)
        asked_loaded = (asked_loaded and not line.text) or line.text.rstrip().endswith(f"cat {_MODULE_LOADED}")
        asked_module = (asked_module and not line.text) or _MODULE_ASKED.search(line.text) is not None
        if asked_uvm and line.text and not line.text.lstrip().startswith("nvidia_uvm"):
            draft.modules.setdefault("nvidia_uvm", KernelModule(name="nvidia_uvm", loaded=False, look=LOOK))
        asked_uvm = (asked_uvm and not line.text) or _LSMOD_UVM.search(line.text) is not None
        if not line.text or page.taken(line):
            continue
        device = _pci(line, device, draft)
        _driver(line, draft)
        _os(line, draft)
        _modules(line, draft)
        _processor(line, draft)
        _amd(line, draft)
        package = _DPKG.match(line.text)
        removed = removed or (line if package and package["state"] == "rc" else None)
        if package and package["state"] == "ii" and len(packages) < MAX_PACKAGES:
            packages.append(f"{package['name']} {package['version']}")
        chosen = _DPKG_LOG.search(line.text)
        installed = _APT_LOG.match(line.text)
        if installed and len(packages) < MAX_PACKAGES:
            packages.append(f"{installed['name']} {installed['version']}")
        if chosen and len(packages) < MAX_PACKAGES:
            packages.append(f"{chosen['name'] or chosen['chosen']} {chosen['version'] or ''}".strip())
    if packages:
        draft.see("nvidia.packages", tuple(packages), page.lines[0], rank=99)
    elif removed:  # what is left are its settings
        draft.see("nvidia.packages", (), removed, rank=1)
    _silent(page, draft)
    _services(page, draft)
    _kernels(page, draft)
    _torch_files(page, draft)


def _silent(page: Page, draft: Draft) -> None:
    """Commands that look for the driver and print nothing: the next line is a prompt again."""
    lines = [line for line in page.lines if line.text.strip()]
    for line, after in pairwise(lines):
        asked = _SEEKS.search(line.text)
        if asked is None or not command_of(line.text):
            continue
        silent = command_of(after.text) or _EMPTY_PROMPT.match(after.text)
        if not (after.text.strip() == "0" if asked["counted"] else silent):
            continue
        if asked["modules"] or asked["counted"]:
            draft.modules.setdefault("nvidia", KernelModule(name="nvidia", loaded=False, look=LOOK))
        elif not draft.best("nvidia.packages"):
            draft.see("nvidia.packages", (), line, rank=1)


def _kernels(page: Page, draft: Draft) -> None:
    """The architectures that a script printed as a list, or that cuobjdump found in a library, one a line."""
    printed = next((line for line in page.lines if "'sm_" in line.text and _BARE_LIST.match(line.text)), None)
    if printed is not None:
        names = tuple(re.findall(r"(?:sm|compute)_\d{2,3}[a-z]?", printed.text))
        draft.see("torch.arch_list", names, printed, rank=4)
    if "cuobjdump" not in page.text and "roc-obj-ls" not in page.text:
        return
    found = [(match["name"], line) for line in page.lines if (match := _ARCH_LINE.match(line.text))]
    if len(found) >= _SOME_FILES:
        draft.see("torch.arch_list", tuple(name for name, _ in found), found[0][1], rank=4)


def _services(page: Page, draft: Draft) -> None:
    """`systemctl is-active` of the fabric manager, and the word below it, perhaps after that of `is-enabled`."""
    for line in page.lines if _MANAGER in page.text else ():
        if _MANAGER in line.text and command_of(line.text):
            below = (after.text.strip() for _, after in zip(range(2), page.after(line), strict=False))
            state = next((word for word in below if word in ("active", "inactive", "failed")), None)
            draft.see("host.fabric_manager", state, line)


def _torch_files(page: Page, draft: Draft) -> None:
    """A listing of torch's own libraries that has those for the CPU and none for a GPU."""
    if "torch_cpu." not in page.text:
        return
    files = [(found["name"], line) for line in page.lines for found in _TORCH_LIBRARY.finditer(line.text)]
    names = {name for name, _ in files}
    if len(names) >= _SOME_FILES and "torch_cpu" in names and not any(name.endswith(("cuda", "hip")) for name in names):
        draft.see("torch.cuda_known", True, files[0][1], rank=3)


def _driver(line: Line, draft: Draft) -> None:
    nvrm = _NVRM.search(line.text)
    if nvrm:
        draft.see_many("nvidia.driver_versions", nvrm["version"], line)
        draft.modules["nvidia"] = KernelModule(
            name="nvidia",
            loaded=True,
            version=nvrm["version"],
            flavour="open" if nvrm["open"] else "proprietary",
            look=LOOK,
        )
    nvcc = _NVCC.search(line.text)
    if nvcc:
        draft.tools["nvcc"] = Tool(name="nvcc", version=nvcc["version"] or nvcc["release"])
    virtual = _CUDA_OF_CONDA.match(line.text)
    if virtual:
        draft.see_many("nvidia.cuda_versions", virtual["version"], line)
    number = _DRIVER_INT.match(line.text)
    if number:
        draft.see_many("nvidia.cuda_versions", cuda_of_int(int(number["number"])), line)
    library = _NVML_LIBRARY.search(line.text) or _DRIVER_PACKAGE.match(line.text) or _APT_UPGRADE.match(line.text)
    library = library or _PACMAN.search(line.text)
    if library:
        draft.see_many("nvidia.library_versions", library["version"], line)


def _os(line: Line, draft: Draft) -> None:
    uname = _UNAME.match(line.text)
    if uname:
        draft.see("host.os", "linux", line, rank=7)
        draft.see("host.kernel", uname["kernel"], line)
        draft.see("host.machine", uname["machine"], line)
        draft.see("host.wsl", "microsoft" in line.text.casefold(), line)
        draft.see("host.jetson", "tegra" in line.text.casefold(), line)
    named = _OS_RELEASE.match(line.text) or _DISTRIBUTION.match(line.text)
    if named:
        draft.see("host.os_name", named["name"].strip(), line, rank=6)
        draft.see("host.os", "linux", line, rank=4)
    windows = _WINDOWS.search(line.text)
    if windows:
        draft.see("host.os", "windows", line, rank=6)
    elif command_of(line.text) and re.match(r"\s*(?:\([^)]*\)\s*)?(?:PS [A-Za-z]:|[A-Za-z]:\\)", line.text):
        draft.see("host.os", "windows", line, rank=3)
    told = _HOSTNAMECTL.match(line.text)
    if told:
        draft.see("host.os", "linux", line, rank=5)
        draft.see("host.os_name", told["name"], line, rank=5)
        draft.see("host.kernel", told["kernel"], line)
        machine = {"x86-64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}
        draft.see("host.machine", machine.get(told["machine"] or ""), line)
    virtual = _VIRTUAL.search(line.text)
    if virtual:
        draft.see("host.os", "linux", line, rank=4)
        draft.see("host.libc_version", virtual["glibc"], line)
        draft.see("host.libc", "glibc" if virtual["glibc"] else None, line)
        draft.see("host.machine", virtual["machine"], line)
    _of_uv(line, draft)
    glibc = _GLIBC.match(line.text)
    if glibc:
        draft.see("host.libc", "glibc", line)
        draft.see("host.libc_version", glibc["version"] or glibc["other"], line)


def _of_uv(line: Line, draft: Draft) -> None:
    """The platform tag that uv's hints name, and the names of its interpreters."""
    here = _UV_PLATFORM.search(line.text)
    if here:
        family = here["tag"].split("_")[0]
        draft.see("host.os", {"macosx": "macos", "win": "windows"}.get(family, "linux"), line, rank=6)
        machine = re.search(r"(?:x86_64|arm64|aarch64)\Z", here["tag"])
        draft.see("host.machine", machine[0] if machine else None, line)
    found = _UV_INTERPRETER.search(line.text)
    if found:
        draft.see("host.os", found["system"], line, rank=5)
        draft.see("host.machine", found["machine"], line)
        draft.see("python.libc", {"gnu": "glibc", "musl": "musl"}.get(found["libc"]), line)


def _processor(line: Line, draft: Draft) -> None:
    """The instructions that a processor knows, as /proc/cpuinfo and lscpu list them."""
    flags = _CPU_FLAGS.match(line.text)
    if flags:
        known = set(flags["flags"].split())
        draft.see("host.cpu_flags", tuple(flag for flag in _VECTOR if flag in known) or ("-",), line)


def _modules(line: Line, draft: Draft) -> None:
    module = _LSMOD.match(line.text)
    if module and module["name"] not in draft.modules:
        draft.modules[module["name"]] = KernelModule(name=module["name"], loaded=True, look=LOOK)


def _pci(line: Line, device: str | None, draft: Draft) -> str | None:
    match = _LSPCI.match(line.text)
    if match:
        address = match["address"] if match["address"].count(":") == 2 else f"0000:{match['address']}"
        revision = match["revision"][5:7] if match["revision"] else None
        kinds = {
            "VGA compatible controller": "0300",
            "3D controller": "0302",
            "Display controller": "0380",
            "Processing accelerators": "1200",
        }
        draft.pci[address] = PciDevice(
            address=address,
            vendor=_VENDORS[match["vendor"]],
            device="0000",
            pci_class=kinds.get(match["kind"], "0680"),
            revision=revision,
        )
        return address
    driver = _DRIVER_IN_USE.match(line.text)
    if driver and device in draft.pci:
        seen = draft.pci[device]
        draft.pci[device] = PciDevice(
            address=seen.address, vendor=seen.vendor, device=seen.device, pci_class=seen.pci_class,
            driver=driver["driver"], revision=seen.revision,
        )  # fmt: skip
        return None
    return device if line.text.startswith((" ", "\t")) else None


def _amd(line: Line, draft: Draft) -> None:
    match = _GFX.search(line.text)
    if match:
        gfx_seen(match["gfx"] or match["name"], line, draft)
