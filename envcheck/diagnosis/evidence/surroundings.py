"""Where the text was written: board, WSL, macOS, container, cluster, Alpine; the kernel and the C library.

Such words weigh less than a report's own lines: their ranks are low.
"""

import re
from typing import Any

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page, command_of
from envcheck.model.base import Plain
from envcheck.model.facts import Library
from envcheck.model.patterns import regex

_JETSON = regex(
    r"\bjetbot@|\bJetson[ -]?(?:Nano|AGX|Xavier|Orin|TX[12]|NX|Thor|Series|Linux)?\b"
    r"|\bJetPack(?:_VERSION)?\b|\bL4T(?:_VERSION)?\b|\bR\d{2} \(release\)"
    r"|\d-tegra\b|\bnvidia,tegra\d{3}|\bRAM \d{3,6}/\d{4,6}MB \(lfb \d"
    r"|\bGPU \d{1,2}: (?:NVIDIA )?(?:Orin|Xavier|Thor)\b|\((?:nvgpu|integrated)\)|\bNVIDIA Tegra\b|[0-9a-f]\.nv\d\d\.\d"
    r"|\b(?:Orin|Xavier|Thor)(?: \(nvgpu\))? (?:with CUDA capability|which is of c)"
    r"|^\W{0,4}(?:NVIDIA )?(?:Orin|Xavier)\W{0,4}$|['\"](?:NVIDIA )?(?:Orin|Xavier|Thor)['\"]",
    re.IGNORECASE | re.MULTILINE,
)
_NOT_ABOUT_HERE = regex(r"https?://\S*(?:jetson|tegra)|\b(?:not|no|isn't|without)\b[^.\n]{0,30}\bjetson", re.IGNORECASE)
_WSL = regex(
    r"microsoft-standard|\b4\.4\.0-\d+-Microsoft\b|/lib/modules/3\.4\.0\+"
    r"|\bWSL ?[12]\b|\bWSL version\b|^\W{0,4}WSL\s{0,2}:"
    r"|[$#] nvidia-smi\.exe\b|(?:^|[\s\"'(:])/mnt/[a-z]/|/usr/lib/wsl/|\bdxgkrnl\b|\bwsl-ubuntu\b|^\W{0,4}cmd\.exe /c ",
    re.IGNORECASE | re.MULTILINE,
)
_NOT_HERE = regex(r"\b(?:not?|without|outside|unlike|instead of)\b[^.\n]{0,30}\bWSL|WSL ?1 or WSL ?2", re.IGNORECASE)
_SYSTEM_WORD = regex(
    r"^\W{0,6}(?:(?:OS|Operating system|System|Platform|操作系统|系统)\W{1,4})?(?:Microsoft )?"
    r"(?P<name>Win(?:dows)?(?:\s?(?:1[01]|[78](?:\.1)?|Server\s?\d{4}))?|Linux|mac ?OS)"
    r"(?:[ -](?:Pro(?:fessional)?|Home|Education|Enterprise|x64|x86[_-]64|64[- ]?bits?|\d\dH\d)){0,3}"
    r"(?:[,/ ]{1,3}(?:arm64|x86_64|amd64|Apple Silicon))?\W{0,3}$",
    re.IGNORECASE,
)
_KERNEL = regex(r"\bLinux version (?P<kernel>\d+\.\d+\S*)|^\s*(?P<alone>\d+\.\d+\.\d+[.\d]*-[\w.+-]+)\s*$")
_MACOS = regex(
    r"\bon darwin\b|\bDarwin Kernel Version\b|^\s*platform: osx-|(?<!`)\bmacosx?[_-]\d|\bmacOS[ -](?:[A-Z]\w+|\d{2})"
    r"|\bMac ?OS X\b|\bMac(?:Book| ?laptop| mini| studio)\b|/osx-(?:64|arm64)\b|\bosx-(?:64|arm64) channels\b"
    r"|\bApple M[1-9]\b|(?<![\w/])~/opt/(?:ana|mini)conda3/|^\s{0,8}Darwin(?:\s\S{1,60}){0,3}\s(?:arm64|x86_64)\b"
    r"|^\s{0,8}ProductName:\s{1,20}mac ?OS"
    r"|\.dylib\b|/opt/homebrew/|(?<![\w:/\\.])/Users/\w|/Library/Frameworks/Python\.framework\b",
    re.MULTILINE,
)
_ZSH = regex(
    r"^\s*(?:\([\w.-]+\)\s)?[\w.-]{1,64}:[~/]\S{0,80} [\w.-]{1,32}\$ \S|^\s*(?:\([\w.-]+\)\s)?[\w.-]+@[\w-]+ \S+ % \S",
    re.MULTILINE,
)
"""The prompts of macOS' shells: its bash of old, and zsh, which others use, too."""
_CONTAINER = regex(
    r"^\s*(?:\([\w.-]+\)\s*)?[\w-]+@[0-9a-f]{12}:|^[\w.-]+_\d\s+\|\s|/\.dockerenv"
    r"|\bdevcontainers/features\b|\bCrashLoopBackOff\b|^Tolerations:\s"
    r"|^\S{1,32} ➜ /workspaces/|\bContainer image Copyright \(c\)"
    r"|\bI have no name!@[0-9a-f]{12}|@autodl-container-[0-9a-f]{6,20}"
    r"|^(?:lxc|docker|podman|systemd-nspawn)\s{0,4}$"
    r"|^\W{0,4}(?:nvidia/cuda|nvcr\.io/[\w./-]{3,60}|pytorch/pytorch|ghcr\.io/[\w./-]{3,60}):[\w.-]{2,60}\s{0,4}$"
    r"|^\s{0,4}\d{1,2}:[\w,=]{0,40}:/(?:docker|kubepods|containerd|lxc)\b|[/-]entrypoint\.sh\b",
    re.MULTILINE,
)
_DOCKER_RUN = regex(
    r"\bUsing Docker executor with image |\bUsing docker image sha256:|^\W{0,4}(?:sudo )?"
    r"(?:(?:docker|podman|nvidia-docker) (?:container )?(?:run|exec|logs)|kubectl (?:logs|exec)"
    r"|docker[- ]compose (?:-\S{1,20} \S{1,60} ){0,4}(?:run|exec|logs))\b|--container-image\b"
    r"|(?:^\W{0,4}|[$#%>] )(?:sudo )?(?:singularity|apptainer) (?:exec|run|shell)\b",
    re.MULTILINE,
)
_BUILT = regex(
    r"^\W{0,4}FROM (?:--platform=\S{1,40} )?[\w.-]{1,60}(?:[:/][\w./:@-]{1,120})(?: AS [\w.-]{1,40})?\s{0,4}$"
    r"|^\W{0,8}\d{1,2}/\d{1,2}\] (?:RUN|COPY|ADD) |^Step \d{1,3}/\d{1,3} : |^ ?---> Running in [0-9a-f]{12}\b",
    re.MULTILINE,
)
"""A Dockerfile, and what docker build prints."""
_SLURM = regex(
    r"^\s*#SBATCH\s|\b(?:sbatch|srun|salloc|squeue|sinfo|scontrol)\s|\bslurm(?:stepd|ctld)?\b|\bSLURM_\w+",
    re.IGNORECASE | re.MULTILINE,
)
_PBS = regex(r"^\s*#PBS\s|\bPBS_(?:JOBID|NODEFILE|O_\w+)\b", re.MULTILINE)
_LSF = regex(r"^\s*#BSUB\s|\bbsub\s+-|\bLSB_(?:JOBID|HOSTS)\b", re.MULTILINE)
_SGE = regex(r"^\s*#\$\s+-\w\b|\bqrsh\s", re.MULTILINE)
_LINUX = regex(
    r"^\s{0,8}\[(?:GCC|Clang)[^\]\n]{0,80}\] on linux\b|^\s{0,4}Linux \S{1,64} \d+\.\d+\.\d+\S* #\d"
    r"|\bLinux-\d\.\d[\w.+-]{0,60}-(?:x86_64|aarch64)-with-",
    re.MULTILINE,
)
_WIN_32 = regex(
    r"[\\/]python3\d{1,2}(?:-32|_86)[\\/]|\bprogram files \(x86\)\\python3|-cp3\d{1,2}m?-win32\b",
    re.IGNORECASE | re.MULTILINE,
)
_PLATFORM_NAME = regex(
    r"(?:\b[Pp]latform(?: version)?\W{1,4}|^\W{0,3})"
    r"(?P<name>(?:Linux-\d\S{4,80}-with-glibc[\d.]{1,6}|Windows-\d{1,2}\S{4,30}|macOS-\d\S{4,40}))"
)
_PLATFORM_MACHINE = regex(r"-(?P<machine>x86_64|aarch64|arm64)(?=-|$)")
_WINDOWS_PLATFORM = regex(r"\bWindows-(?:1[01]|8\.1|[78]|20\d\d\w{0,6})-\d{1,2}\.\d\.\d", re.MULTILINE)
"""What Python's platform.platform() answers there."""
_WINDOWS_TOOLS = regex(
    r"\|\s?(?:findstr|Select-String)\b|\bwhere(?:\.exe)? (?:python|pip|nvcc|nvidia-smi)\b"
    r"|\bGet-(?:Command|ChildItem|CimInstance|WmiObject|ComputerInfo)\b",
    re.MULTILINE,
)
_MSC = regex(r"\[MSC v\.\d{4}", re.MULTILINE)
_BITS_32 = regex(
    r"^\W{0,3}\('32bit',|\[MSC v\.\d{4} 32 bit\b|/win-32\s*$|^\s*platform : win-32"
    r"|\bPython 3\.[\d.]{1,6} \(?32[- ]bit|-linux_(?:armv[67]l|i686)\b|^\s*(?:linux-)?armv[67]l\s*$"
    r"|^\s*armhf\s*$|_armhf\.deb\b",
    re.IGNORECASE | re.MULTILINE,
)
_DEBIAN_ARM = regex(r"\b(?:main|universe|restricted) arm64 Packages\b", re.MULTILINE)
_LIBC = regex(
    r"^\W{0,6}(?:glibc|GNU libc|GNU C Library)(?:\s?version)?\W{1,4}(?P<version>2\.\d{1,2})\W{0,3}$"
    r"|^\s{0,4}ldd \((?:GNU|Ubuntu|Debian)[^)\n]{0,40}\) (?P<ldd>2\.\d{1,2})\b",
    re.IGNORECASE,
)
_MACHINE_ALONE = regex(r"^\s{0,4}(?P<machine>aarch64|arm64|x86_64|ppc64le)\s*$")
_WSL_LISTING = regex(r"\bls\b[^\n|]{0,40}\s/usr/lib/wsl/lib/?\s*$")
_ALPINE = regex(
    r"\bcp3\d{1,2}-\w{2,8}-musllinux_\d|\bAlpine Linux\b|/etc/alpine-release\b"
    r"|^\s*ID=\"?alpine|\bFROM\s+\S*alpine|\s\S+:\S*alpine\b"
    r"|^\s*(?:[\w/~.-]{0,40} ?[#$] |RUN\s+)?apk add\b",
    re.MULTILINE,
)
_PYTHON_ENDS = regex(r"\bPython (?P<version>[23]\.\d{1,2}) reached the end of its life")


class Mark(Plain, frozen=True):
    """Words that tell one thing, and the facts with the rank of each."""

    words: Any
    facts: tuple[tuple[str, Any, int], ...]
    needs: tuple[str, ...] = ()
    """In small letters: one of them stands wherever the pattern matches, so that most need not even be compiled."""
    unless: Any = None

    def may(self, page: Page, small: str) -> bool:
        """Whether it stands anywhere on `page`, whose text in small letters is `small`."""
        sieved = not self.needs or any(word in small for word in self.needs)
        return sieved and self.words.search(page.text) is not None


MARKS = (
    Mark(
        _MACOS,
        (("host.os", "macos", 3),),
        needs=(
            "darwin",
            "macos",
            "mac os",
            "osx",
            "macbook",
            "maclaptop",
            "mac laptop",
            "mac mini",
            "mac studio",
            "apple m",
            "~/opt/",
            ".dylib",
            "homebrew",
            "/users/",
            "/library/frameworks/",
        ),
    ),
    Mark(_ZSH, (("host.os", "macos", 1),)),
    Mark(_CONTAINER, (("host.container", "docker", 3),)),
    Mark(
        _DOCKER_RUN,
        (("host.container", "docker", 1),),
        needs=("docker", "podman", "kubectl", "container-image", "singularity", "apptainer"),
    ),  # what follows was most likely said inside
    Mark(_BUILT, (("host.container", "docker", 1),), needs=("from ", "run ", "copy ", "add ", "step ", "running in")),
    Mark(
        _SLURM,
        (("host.scheduler", "slurm", 3),),
        needs=("sbatch", "srun", "salloc", "squeue", "sinfo", "scontrol", "slurm"),
    ),
    Mark(_PBS, (("host.scheduler", "pbs", 3),), needs=("#pbs", "pbs_")),
    Mark(_LSF, (("host.scheduler", "lsf", 3),), needs=("#bsub", "bsub", "lsb_")),
    Mark(_SGE, (("host.scheduler", "sge", 3),), needs=("#$", "qrsh")),
    Mark(_LINUX, (("host.os", "linux", 2),)),
    Mark(_WIN_32, (("python.bits", 32, 3), ("host.os", "windows", 2)), needs=("-32", "_86", "(x86)", "win32")),
    Mark(_BITS_32, (("python.bits", 32, 3),), needs=("32bit", "win-32", "32-bit", "32 bit", "armv", "i686", "armhf")),
    Mark(_WINDOWS_TOOLS, (("host.os", "windows", 2),), needs=("findstr", "select-string", "where", "get-")),
    Mark(_MSC, (("host.os", "windows", 5),), needs=("msc v.",)),
    Mark(_WINDOWS_PLATFORM, (("host.os", "windows", 4),), needs=("windows-",)),
    Mark(_DEBIAN_ARM, (("host.machine", "aarch64", 2),), needs=("arm64",)),
    Mark(_ALPINE, (("host.libc", "musl", 7),), needs=("musllinux", "alpine", "apk add")),
    Mark(
        _JETSON,
        (("host.jetson", True, 6), ("host.os", "linux", 2), ("host.machine", "aarch64", 2)),
        needs=(
            "jetson",
            "jetbot",
            "jetpack",
            "l4t",
            "(release)",
            "-tegra",
            ",tegra",
            "mb (lfb",
            "(nvgpu)",
            "(integrated)",
            "nvidia tegra",
            ".nv",
            "orin",
            "xavier",
            "thor",
        ),
        unless=_NOT_ABOUT_HERE,
    ),
    Mark(
        _WSL,
        (("host.wsl", True, 6), ("host.os", "linux", 8)),
        needs=("microsoft", "/lib/modules/3.4.0+", "wsl", "/mnt/", "dxgkrnl", "cmd.exe", "nvidia-smi.exe"),
        unless=_NOT_HERE,
    ),
)


def read(page: Page, draft: Draft) -> None:
    """Each line on its own; a mark that stands nowhere on the page is looked for but once."""
    small = page.text.casefold()
    marks = [mark for mark in MARKS if mark.may(page, small)]
    if page.composed:
        draft.see("host.container", "docker", page.composed, rank=3)
    for line in page.lines:
        if len(line.text) < 3:
            continue
        for mark in marks:
            if mark.words.search(line.text) and not (mark.unless and mark.unless.search(line.text)):
                for fact, value, rank in mark.facts:
                    draft.see(fact, value, line, rank=rank)
        _told(line, draft)
        if _WSL_LISTING.search(line.text):
            _wsl_libraries(line, page, draft)


def _told(line: Line, draft: Draft) -> None:
    """What a line states by name: system, kernel, C library, machine, a Python past its life."""
    word = _SYSTEM_WORD.match(line.text)
    if word:
        family = {"w": "windows", "l": "linux", "m": "macos"}[word["name"][0].casefold()]
        draft.see("host.os", family, line, rank=2)
    platform = _PLATFORM_NAME.search(line.text)
    if platform:
        draft.see("host.os_name", platform["name"], line, rank=3)
        machine = _PLATFORM_MACHINE.search(platform["name"])
        draft.see("host.machine", machine["machine"] if machine else None, line, rank=3)
    kernel = _KERNEL.search(line.text)
    if kernel:
        draft.see("host.kernel", kernel["kernel"] or kernel["alone"], line, rank=4)
        draft.see("host.os", "linux", line, rank=3)
    machine = _MACHINE_ALONE.match(line.text)
    if machine:
        draft.see("host.machine", machine["machine"], line, rank=4)
    libc = _LIBC.match(line.text)
    if libc:
        draft.see("host.libc", "glibc", line, rank=3)
        draft.see("host.libc_version", libc["version"] or libc["ldd"], line, rank=3)
    ended = _PYTHON_ENDS.search(line.text)
    if ended:
        draft.see("python.version", ended["version"], line, rank=5)


def _wsl_libraries(line: Line, page: Page, draft: Draft) -> None:
    """A listing of the folder into which Windows brings its driver: without libcuda there is none."""
    below = []
    for other in page.after(line):
        if not other.text.strip() or command_of(other.text) is not None:
            break
        below.append(other)
    names = " ".join(one.text for one in below[:40])
    if "libdxcore" in names and "libcuda" not in names:
        draft.see("nvidia.libraries", (Library(name="libcuda", error="not in /usr/lib/wsl/lib"),), below[0], rank=3)
