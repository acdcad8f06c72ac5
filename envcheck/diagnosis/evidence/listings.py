"""Package listings: pip list and freeze, conda list, and conda's own description of itself."""

import re

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.model.facts import Setting
from envcheck.model.patterns import regex

_OURS = (
    r"torch(?:vision|audio|text|data|-\S+)?|_?pytorch(?:-cuda|-mutex|-gpu|-lightning|_select)?|numpy|triton(?:-\S+)?|mkl(?:-\S+)?"
    r"|nvidia-[\w.-]+|cuda-[\w.-]+|cudatoolkit|cudnn|nccl|libtorch|cpuonly|pytorch-cpu|intel-openmp|llvm-openmp|libcublas\S*|cupy\S*"
    r"|onnxruntime\S*|xformers|bitsandbytes|pip|transformers|ctranslate2|opencv-python\S*|pysocks|python|flash[-_]attn"
)
_VERSION = r"\d+(?:\.\w+)*(?:\.?(?:a|b|rc|dev|post)\d+)*(?:\+[\w.]+)?"
_BUILD_STRING = r"(?:\d{1,3}|cpu|cuda|mkl|openblas|(?=\w*\d)(?=\w*_)[\w.]+|py[\w.]+|h[0-9a-f]{6,8}_\d+|pypi_\d)"
_PIXI_SIZE = r"(?:\s+[\d.]{1,8} [KMG]i?B\s+(?:conda|pypi))?"
_TABLE_ROW = regex(
    rf"^\s{{0,8}}(?P<name>{_OURS})\s{{1,60}}(?P<version>{_VERSION})"
    rf"(?P<conda>\s+{_BUILD_STRING}{_PIXI_SIZE}(?:\s+\[\w{{1,20}}\])?(?:\s+(?!(?:True|False|None)\s*$|[\d.]+\s*$)[\w./:-]{{2,120}})?)?(?P<path>\s+[/~A-Za-z<][\w:]*[\\/]\S*)?(?(path)(?:\s+(?:pip|uv|conda))?)\s*$",
    re.IGNORECASE,
)
_FREEZE = regex(
    rf"^\s{{0,8}}(?:[-+*]\s+)?(?P<name>{_OURS})==(?P<version>{_VERSION})\s*(?:#.{{0,200}})?$", re.IGNORECASE
)
_JSON = regex(rf"^\s{{0,12}}\"(?P<name>{_OURS})\":\s{{0,2}}\"(?P<version>{_VERSION})\",?\s*$", re.IGNORECASE)
"""A program's report of its packages."""
_JSON_LIST = regex(
    rf"\{{\"name\":\s?\"(?P<name>{_OURS})\",\s?\"version\":\s?\"(?P<version>{_VERSION})\"", re.IGNORECASE
)
"""`pip list --format=json`."""
_LOCK_NAME = regex(rf"^\s{{0,4}}name = \"(?P<name>{_OURS})\"\s*$", re.IGNORECASE)
_LOCK_VERSION = regex(rf"^\s{{0,4}}version = \"(?P<version>{_VERSION})\"\s*$")
"""A package of a lock file of uv or poetry, on two lines."""
_CONDA_SPEC = regex(rf"^\s{{0,8}}(?P<name>{_OURS})=(?P<version>\d[\w.]*)=(?P<build>\w+)\s*$", re.IGNORECASE)
_CONDA_FILE = regex(
    rf"^\s{{0,8}}(?:[-+*]\s+)?(?:[\w.-]{{1,60}}\s{{2,60}}[\w./:-]{{1,80}}::|\S{{1,120}}/)?(?P<name>{_OURS})-(?P<version>\d[\w.]*)-(?P<build>(?=\w*\d)[\w.]+_\d{{1,3}})(?:\.tar\.bz2|\.conda)?\s*$",
    re.IGNORECASE,
)
_CONDA_CHANGE = regex(
    rf"^\s{{1,8}}(?P<name>{_OURS})\s{{1,60}}\S{{1,80}} --> (?:\S{{1,80}}::)?"
    r"(?P<version>\d[\w.]*)-(?P<build>[\w.]{1,60}?)\s*$",
    re.IGNORECASE,
)
"""What conda will put in place of another version or build."""
_ADDED = regex(r"^\s{0,8}\+ [\w.-]{1,60}==", re.MULTILINE)
_REMOVED = regex(r"^\s{0,8}- [\w.-]{1,60}==")
"""What uv put in, and what it took away."""
_CONDA_INFO = regex(
    r"^\s{0,30}(?P<key>channel URLs|active env location|conda version|platform|virtual packages)\s*: (?P<value>.*)$"
)
_NOT_FOUND = regex(
    r"not available from current channels|Packages? missing in current|^\s{0,4}ResolvePackageNotFound"
    r"|PackageNotFoundError"
)
_FILE_LIST = regex(r"\bpackages in environment at (?P<path>[^\n:]{1,300}):?")


def read(page: Page, draft: Draft) -> None:
    """Rows of packages that matter to torch; other packages are left alone."""
    locked: str | None = None
    changes = _ADDED.search(page.text) is not None
    refused = False  # what conda did not find is listed like what is installed
    for line in page.lines:
        if _NOT_FOUND.search(line.text):
            refused = True
        elif refused and line.text.strip() and not line.text.lstrip().startswith("- "):
            refused = False
        if refused:
            page.deny(line)
        if refused or page.taken(line) or (changes and _REMOVED.match(line.text)):
            continue
        version = _LOCK_VERSION.match(line.text) if locked else None
        if locked and version:
            package_seen(locked, version["version"], line, draft, installer=None)
        name = _LOCK_NAME.match(line.text) if "name =" in line.text else None
        locked = name["name"] if name else None
        for one in _JSON_LIST.finditer(line.text) if '{"name"' in line.text else ():
            package_seen(one["name"], one["version"], line, draft, installer="pip")
        if _one(line, draft):
            page.take(line)


def _one(line: Line, draft: Draft) -> bool:
    freeze = _FREEZE.match(line.text) or _JSON.match(line.text)
    if freeze:
        package_seen(freeze["name"], freeze["version"], line, draft, installer=None)
        return line.text.lstrip()[:1] not in ("+", "-")  # what changed stays a message
    spec = _CONDA_SPEC.match(line.text) or _CONDA_FILE.match(line.text)
    spec = spec or (_CONDA_CHANGE.match(line.text) if " --> " in line.text else None)
    if spec:
        conda_package(spec["name"], spec["version"], spec["build"], None, line, draft)
        return True
    row = _TABLE_ROW.match(line.text)
    if row:
        if row["conda"]:
            conda_row(line.text, line, draft)
        else:
            package_seen(row["name"], row["version"], line, draft, installer=None)
            if row["path"] and row["name"].casefold() == "torch":  # pip list -v
                place = row["path"].strip()
                draft.see("torch.file", f"{place}/torch/__init__.py", line, rank=4)
                if "/.local/" in place or "\\Roaming\\Python" in place:
                    draft.see("python.user_site", place, line)
        return True
    info = _CONDA_INFO.match(line.text)
    if info:
        _info(info["key"], info["value"].strip(), line, draft)
    return False


def package_seen(name: str, version: str | None, line: Line, draft: Draft, installer: str | None) -> None:
    """A distribution in pip's words."""
    normal = re.sub(r"[-_.]+", "-", name).casefold()
    draft.package(normal, version, line, installer=installer)
    if normal == "torch" and version:
        draft.see("torch.version", version, line, rank=4)
        draft.see("torch.installed", True, line)


def conda_row(row: str, line: Line, draft: Draft) -> None:
    """`name  version  build  channel`, as conda list and collect_env print it."""
    words = [word for word in row.split() if not word.startswith("[")]
    if len(words) < 2:
        return
    build = words[2] if len(words) > 2 else None
    channel = words[3] if len(words) > 3 else None
    if build and build.startswith("pypi"):
        package_seen(words[0], words[1], line, draft, installer="pip")
    else:
        conda_package(words[0], words[1], build, channel, line, draft)


def conda_package(name: str, version: str, build: str | None, channel: str | None, line: Line, draft: Draft) -> None:
    """A conda package; the build string of `pytorch` names its CUDA."""
    draft.package(name.casefold(), version, line, installer="conda", build=build, channel=channel)
    if name.casefold() not in ("pytorch", "pytorch-cpu", "libtorch"):
        return
    draft.see("torch.version", version, line, rank=3)
    draft.see("torch.installed", True, line)
    draft.see("torch.installer", "conda", line)
    cuda = re.search(r"cuda(\d{1,2}\.\d{1,2}(?:\.\d{1,4})?|\d{2,3})", build or "")
    if cuda:
        digits = cuda[1]
        draft.see("torch.cuda", digits if "." in digits else f"{digits[:-1]}.{digits[-1]}", line, rank=4)
        draft.see("torch.cuda_known", True, line, rank=4)
    elif re.search(r"(?:^|_)cpu(?:_|$)|^cpu", build or ""):
        draft.see("torch.variant", "cpu", line, rank=6)
        draft.see("torch.cuda_known", True, line, rank=4)


def _info(key: str, value: str, line: Line, draft: Draft) -> None:
    if key == "platform":
        system, _, bits = value.partition("-")
        os = {"linux": "linux", "win": "windows", "osx": "macos"}.get(system)
        draft.see("host.os", os, line, rank=6)
        machine = {"64": "x86_64", "arm64": "arm64", "aarch64": "aarch64", "32": "i686"}.get(bits)
        draft.see("host.machine", machine, line, rank=6)
    elif key == "channel URLs":
        draft.settings.append(Setting(tool="conda", key="channels", value=value, origin=line.where()))
    elif key == "virtual packages":
        cuda = re.match(r"__cuda=(\d+\.\d+)", value)
        if cuda:
            draft.see_many("nvidia.cuda_versions", cuda[1], line)
