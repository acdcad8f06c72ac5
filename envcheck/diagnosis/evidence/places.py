"""Files and devices as people list them: where the loader finds libcuda, what lies below /dev, who may open it."""

import re

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page, command_of
from envcheck.model.facts import DeviceNode, Library
from envcheck.model.patterns import regex
from envcheck.model.versions import cuda_of_int

_RESOLVED = regex(r"\blibcuda\.so(?:\.1)?(?: \([^)\n]{0,40}\))? (?:=>|->) (?P<path>/\S{1,200}/libcuda\.so\S{0,24})")
_OWNED = regex(
    r"^\s{0,4}libnvidia-compute-(?P<version>\d{3})\S{0,20}: (?P<path>/(?!usr/lib/wsl/)\S{1,200}/libcuda\.so\S{0,24})"
)
"""`dpkg -S`: the package that a file belongs to."""
_BARE_LINK = regex(r"(?<![\w/])libcuda\.so(?:\.1)? -> libcuda\.so\.(?P<version>\d{3}\.\d{1,3}(?:\.\d{1,3})?)\s*$")
_LINKED = regex(
    r"(?P<path>/(?!usr/lib/wsl/)\S{1,200}/libcuda\.so(?:\.1)?) -> (?:/\S{1,200}/)?"
    r"libcuda\.so\.(?P<version>\d{3}\.\d{1,3}(?:\.\d{1,3})?)\s*$"
)
"""`ls -l` of a libcuda: the file behind it names the driver's version, but for the one that Windows brings."""
_FILE = regex(r"\blibnvidia-ml\.so\.(?P<version>\d{3}\.\d{1,3}(?:\.\d{1,3})?)\b")
_KFD = regex(
    r"^\s{0,4}c(?P<mode>[r-][w-][x-][r-][w-][x-][r-][w-][x-])[.+]?\s+\d+\s+(?P<owner>\w+)\s+(?P<group>[\w-]+)\s.{0,60}\s(?:/dev/)?kfd\s*$"
)
_ID = regex(r"\buid=(?P<uid>\d+)\S{0,40}\s+gid=\S{1,60}\s+groups=(?P<groups>\S{1,600})")
_INITIALISED = regex(r"\bcalling init: (?P<path>/\S{1,200}/libcuda\.so\S{0,24})")
"""`LD_DEBUG=libs`."""
_LISTED = regex(r"^ls(?: -\w{1,6}){0,3}(?: (?:\./)?torch/?)?$")
_SHADOW = regex(
    r"^(?:d[rwx-]{9}\S?\s.{10,120}\s)?(?:.{0,300}\s{2,})?(?:\./)?(?P<name>torch(?:\.py|/)?)(?:\s{2,}.{0,300})?$"
)
_NOT_WHOLE = regex(
    r"No module named '?torch\.(?:_C|version)|module 'torch' has no attribute|partially initialized module 'torch'"
)
_FABRIC = regex(r"^\s{0,12}State\s{1,60}:\s{1,4}(?P<state>In Progress|Not Started|Completed)\s*$")
_API_VERSION = regex(
    r"\b(?:cudaDriverGetVersion|cuDriverGetVersion|_cuda_getDriverVersion)(?:\(\))?\W{1,12}(?P<number>\d{4,5})\b"
)
_GRID = regex(r"\b(?P<name>GRID [A-Z]\w{1,8}-\d{1,2}[QCAB]|NVIDIA [A-Z]\d{1,3}\w{0,6}-\d{1,2}[QC])\b")


def read(page: Page, draft: Draft) -> None:
    """Each line on its own; two versions of one library tell nothing about which is loaded."""
    files: dict[str, Line] = {}
    found: list[tuple[str, Line]] = []
    of_linux: str | None = None
    loose: tuple[str, Line] | None = None
    for line in page.lines:
        if len(line.text) < 8:
            continue
        for match in _FILE.finditer(line.text):
            files.setdefault(match["version"], line)
        linked = _LINKED.search(line.text) or _OWNED.match(line.text)
        resolved, bare = (
            _RESOLVED.search(line.text) or _INITIALISED.search(line.text),
            _BARE_LINK.search(line.text),
        )
        if bare and not linked:
            loose = loose or (bare["version"], line)
        if linked:
            found.append((linked["path"], line))
            of_linux = of_linux or linked["version"]
        elif resolved:
            found.append((resolved["path"], line))
        _devices(line, draft)
    if len(files) == 1:
        version, line = next(iter(files.items()))
        draft.see_many("nvidia.library_versions", version, line)
    _loaded(found, of_linux, draft)
    if loose and not found:
        library = Library(name="libcuda.so.1", path="libcuda.so.1", version=loose[0])
        draft.see("nvidia.libraries", (library,), loose[1], rank=2)
    if _NOT_WHOLE.search(page.text):
        _shadow(page, draft)
    _access(page, draft)


def _devices(line: Line, draft: Draft) -> None:
    number = _API_VERSION.search(line.text)
    if number:
        draft.see_many("nvidia.cuda_versions", cuda_of_int(int(number["number"])), line)
    grid = _GRID.search(line.text)
    if grid and not draft.gpus:
        draft.gpu_named(grid["name"], line)
    fabric = _FABRIC.match(line.text)
    if fabric and "fabric_state" not in draft.gpus.get(0, {}):
        draft.gpu(0, line, fabric_state=fabric["state"].casefold().replace(" ", "_"))


def _loaded(found: list[tuple[str, Line]], of_linux: str | None, draft: Draft) -> None:
    """The libcuda that the loader takes; inside WSL the one of Windows counts where it is among them.

    `of_linux`: the version of one that a Linux driver put beside it.
    """
    if not found:
        return
    path, line = next((one for one in found if one[0].startswith("/usr/lib/wsl/")), found[0])
    if of_linux:
        path, line = next((one for one in found if not one[0].startswith("/usr/lib/wsl/")), found[0])
    draft.see("nvidia.libraries", (Library(name="libcuda.so.1", path=path, version=of_linux),), line, rank=3)


def _shadow(page: Page, draft: Draft) -> None:
    """A folder or file of torch's name in the directory where it is imported, as `ls` shows it."""
    for line in page.lines:
        if not _LISTED.match(command_of(line.text) or ""):
            continue
        for below in page.after(line):
            if not below.text.strip() or command_of(below.text) is not None:
                break
            shadow = _SHADOW.match(below.text.strip())
            if shadow:
                draft.see("python.shadows", (shadow["name"].rstrip("/"),), below)


def _person(page: Page) -> tuple[bool, list[str]] | None:
    """Whether the user is root, and the groups, as `id` or `groups` tells them."""
    for line in page.lines:
        told = _ID.search(line.text)
        if told:
            return told["uid"] == "0", re.findall(r"\(([\w-]+)\)", told["groups"])
        if command_of(line.text) == "groups":
            groups = next(page.after(line), line).text.split()
            return "root" in groups, groups
    return None


def _access(page: Page, draft: Draft) -> None:
    """`ls -l /dev/kfd` and `id`: whether this user may open it."""
    kfd = next(((match, line) for line in page.lines if (match := _KFD.match(line.text))), None)
    if kfd is None:
        return
    match, line = kfd
    person = _person(page)
    # Only root gets through, and who is root seldom asks why.
    writable = False if match["owner"] == "root" and match["mode"][3:] == "------" and person is None else None
    if person:
        root, groups = person
        shared = match["mode"][6:8] == "rw" or (match["group"] in groups and match["mode"][3:5] == "rw")
        writable = root or shared
    node = DeviceNode(
        path="/dev/kfd",
        readable=writable,
        writable=writable,
        mode="c" + match["mode"],
        group=match["group"],
        error="EACCES" if writable is False else None,
    )
    draft.see("amd.kfd", node, line, rank=3)
