"""`python -m torch.utils.collect_env` of every age, and its forks: one `Key: value` a line."""

import re
from collections.abc import Callable
from itertools import islice

from envcheck.diagnosis.evidence.devices import amd_seen, card_seen, is_amd, is_card
from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.listings import conda_row, package_seen
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.model.base import Plain
from envcheck.model.facts import Tool
from envcheck.model.patterns import regex

_KEY = regex(
    r"^\s{0,8}(?:[-*•]\s+)?\**(?P<key>[A-Za-z][A-Za-z0-9_ /]{1,48}?)(?: \(PyTorch\))?\**\s{0,4}:\s{0,4}(?P<value>.*)$"
)
_GPU = regex(r"^\s{0,8}GPU (?P<index>\d{1,3})\s{0,2}:\s{0,2}(?P<name>.+?)\s*$")
_PACKAGE = regex(r"^\s{0,8}\[(?P<tool>pip3?|conda)\]\s+(?P<row>\S.*)$")


class Entry(Plain, frozen=True):
    """One understood `Key: value` line: the value trimmed, where it stood, and where its facts go."""

    value: str
    line: Line
    draft: Draft
    page: Page


UNSAID = frozenset({"", "n/a", "could not collect", "no cuda", "unknown", "none", "not found", "not available"})
_YES = {"true": True, "yes": True, "false": False, "no": False}
_PYTHON = regex(r"^(?P<version>\d+\.\d+(?:\.\d+)?(?:(?:a|b|rc)\d+|\+)?)")
_LINUX = regex(
    r"(?:Ubuntu|Debian|Fedora|CentOS|Red Hat|RHEL|Rocky|Alma|Arch|Manjaro|Linux ?Mint|open ?SUSE|SUSE|SLES|Pop!_OS"
    r"|Amazon|Oracle|Kali|Gentoo|NixOS|Alpine|elementary|Deepin|UOS|Kylin|EulerOS|openEuler|TencentOS|Anolis)\b",
    re.IGNORECASE,
)
_ERROR = regex(r"\berror: |\bcan't open file\b|\bcommand not found\b|No such file or directory")
_BITS = regex(r"\((?P<bits>32|64)-bit runtime\)")


def read(page: Page, draft: Draft) -> None:
    """Every line that has collect_env's form; an unknown key is left alone."""
    for line in page.lines:
        package = _PACKAGE.match(line.text)
        if package:
            _package(package["tool"], package["row"], line, draft)
            page.take(line)
            continue
        match = _KEY.match(line.text)
        if match is None:
            continue
        handler = _KEYS.get(" ".join(match["key"].casefold().split()))
        value = match["value"].strip().strip("*`").strip()
        if handler is not None and not _ERROR.search(value):  # `python: symbol lookup error: ...` is no entry
            handler(Entry(value, line, draft, page))
            page.take(line)


def said(value: str) -> str | None:
    """The value, or None for the many words that mean "nothing"."""
    return None if value.casefold() in UNSAID else value


def _package(tool: str, row: str, line: Line, draft: Draft) -> None:
    if tool == "conda":
        conda_row(row, line, draft)
        return
    name, _, version = row.partition("==")
    package_seen(name.strip(), version.strip() or None, line, draft, installer="pip")


def _torch(entry: Entry) -> None:
    if said(entry.value) and entry.value[0].isdigit():
        entry.draft.see("torch.version", entry.value.split(maxsplit=1)[0].strip(",;`'\""), entry.line, rank=9)
        entry.draft.see("torch.installed", True, entry.line)
        entry.draft.see("torch.imported", True, entry.line)
    elif entry.value.casefold() == "n/a":  # collect_env prints N/A when its own import of torch failed
        entry.draft.see("torch.imported", False, entry.line)


def _cuda(entry: Entry) -> None:
    known = entry.draft.best("torch.version") is not None
    if said(entry.value):
        entry.draft.see("torch.cuda", entry.value, entry.line, rank=9)
        entry.draft.see("torch.cuda_known", True, entry.line, rank=9)
    elif known and entry.value.casefold() in ("none", "could not collect"):  # torch.version.cuda is None
        entry.draft.see("torch.cuda_known", True, entry.line, rank=8)


def _rocm(entry: Entry) -> None:
    if said(entry.value):
        entry.draft.see("torch.hip", entry.value, entry.line, rank=9)
        entry.draft.see("torch.cuda_known", True, entry.line, rank=9)


def _available(entry: Entry) -> None:
    answer = _YES.get(re.split(r"[,;(，]", entry.value.casefold(), maxsplit=1)[0].strip())
    if answer is not None:
        entry.draft.see("torch.cuda_available", answer, entry.line, rank=9)


def _yes_or_no(field: str) -> "_Handler":
    """A handler that reads True or False (Yes or No in old reports) for `field`."""

    def handler(entry: Entry) -> None:
        answer = _YES.get(entry.value.casefold())
        if answer is not None:
            entry.draft.see(field, answer, entry.line)

    return handler


_WIN = regex(r"win(?:\d|\b)")


def _os(entry: Entry) -> None:
    if not said(entry.value):
        return
    lower = entry.value.casefold()
    if lower in ("nt", "posix"):  # os.name, which is no system's name
        entry.draft.see("host.os", "windows" if lower == "nt" else None, entry.line, rank=6)
        return
    entry.draft.see("host.os_name", entry.value, entry.line, rank=9)
    families = (("windows", "windows"), ("mac", "macos"), ("darwin", "macos"), ("osx", "macos"))
    family = "windows" if _WIN.match(lower) else next((os for word, os in families if word in lower), "linux")
    entry.draft.see("host.os", family, entry.line, rank=9)
    machine = re.search(r"\((x86_64|aarch64|arm64|ppc64le|i686)\)\s*$", entry.value)
    if machine:
        entry.draft.see("host.machine", machine[1], entry.line, rank=8)


def _distribution(entry: Entry) -> None:
    """The word of fastai and jetson-stats for the system; elsewhere it may be any distribution."""
    if _LINUX.match(entry.value):
        _os(entry)


def _libc(entry: Entry) -> None:
    match = re.match(r"(glibc|musl)-?(\d[\d.]*)?", entry.value)
    if match:
        entry.draft.see("host.libc", match[1], entry.line)
        # Old versions of platform.libc_ver read the oldest symbol of the interpreter: 2.9 or less is not the system's.
        if match[2] and tuple(int(part) for part in match[2].split(".")[:2] if part) >= (2, 12):
            entry.draft.see("host.libc_version", match[2], entry.line)


def _python(entry: Entry) -> None:
    version = _PYTHON.match(entry.value)
    if version:
        entry.draft.see("python.version", version["version"], entry.line, rank=9)
    bits = _BITS.search(entry.value)
    if bits:
        entry.draft.see("python.bits", int(bits["bits"]), entry.line)
    if "Anaconda" in entry.value or "conda-forge" in entry.value:
        entry.draft.see("python.kind", "conda", entry.line)


def _platform(entry: Entry) -> None:
    if not said(entry.value):
        return
    lower = entry.value.casefold()
    for word, family in (("windows", "windows"), ("macos", "macos"), ("darwin", "macos"), ("linux", "linux")):
        if lower.startswith(word):
            entry.draft.see("host.os", family, entry.line, rank=8)
    machine = re.search(r"(x86_64|aarch64|arm64|AMD64|ppc64le|i686)", entry.value)
    if machine:
        entry.draft.see("host.machine", {"AMD64": "x86_64"}.get(machine[1], machine[1]), entry.line, rank=7)
    kernel = re.match(r"Linux-(.+?)-(?:x86_64|aarch64|ppc64le)", entry.value)
    if kernel:
        entry.draft.see("host.kernel", kernel[1], entry.line)
        entry.draft.see("host.wsl", "microsoft" in lower, entry.line)
        entry.draft.see("host.jetson", "tegra" in lower, entry.line)


def _nvcc(entry: Entry) -> None:
    if said(entry.value) and entry.value[0].isdigit():
        entry.draft.tools.setdefault("nvcc", Tool(name="nvcc", version=entry.value))


def _driver(entry: Entry) -> None:
    for version in re.findall(r"\d{3}\.\d+(?:\.\d+)?", entry.value):
        entry.draft.see_many("nvidia.driver_versions", version, entry.line)


def _gpus(entry: Entry) -> None:
    """`GPU models and configuration:`, the names on this line or one a line below."""
    below = islice(entry.page.after(entry.line), 64)
    rows = [(entry.line, entry.value), *((line, line.text) for line in below)]
    hip = entry.draft.best("torch.hip") is not None
    if said(entry.value) and not _GPU.match(entry.value) and (hip or is_amd(entry.value)):
        amd_seen(entry.value, entry.line, entry.draft)
    elif is_card(entry.value):
        entry.draft.gpu_named(entry.value.strip(), entry.line)
    for row, text in rows:
        match = _GPU.match(text)
        if match:
            name = re.sub(r"\s*\(UUID: [^)]{1,64}\)\s*$", "", match["name"])
            if hip:
                amd_seen(name, row, entry.draft, int(match["index"]))
            else:
                card_seen(name, row, entry.draft, int(match["index"]))
            entry.page.take(row)
        elif row is not entry.line and not re.match(r"\s*MIG ", text):
            break


def _cudnn(entry: Entry) -> None:
    version = re.fullmatch(r"(\d{4,6})|(\d+\.\d+(?:\.\d+)*)", entry.value)
    if version:
        entry.draft.see("torch.cudnn", entry.value, entry.line)


def _nothing(entry: Entry) -> None:
    """Understood, and nothing follows from it."""


_Handler = Callable[[Entry], None]
_KEYS: dict[str, _Handler] = {
    "pytorch version": _torch,
    "torch version": _torch,
    "pytorch": _torch,
    "cuda used to build pytorch": _cuda,
    "rocm used to build pytorch": _rocm,
    "is cuda available": _available,
    "cuda available": _available,
    "pytorch xpu available": _yes_or_no("torch.xpu_available"),
    "is xpu available": _yes_or_no("torch.xpu_available"),
    "is mps available": _yes_or_no("torch.mps_available"),
    "os": _os,
    "distro": _distribution,
    "distribution": _distribution,
    "libc version": _libc,
    "python version": _python,
    "python": _python,
    "platform": _platform,
    "python platform": _platform,
    "cuda runtime version": _nvcc,
    "nvidia driver version": _driver,
    "cuda driver version": _driver,
    "gpu models and configuration": _gpus,
    "cudnn version": _cudnn,
    "is debug build": _nothing,
    "gcc version": _nothing,
    "clang version": _nothing,
    "cmake version": _nothing,
    "cuda_module_loading set to": _nothing,
    "hip runtime version": _nothing,
    "miopen runtime version": _nothing,
    "is xnnpack available": _nothing,
}
