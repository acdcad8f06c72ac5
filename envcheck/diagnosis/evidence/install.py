"""pip, uv and conda at work: the indexes they asked and the wheels they chose. Their errors stay messages."""

import re

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page, command_of
from envcheck.model.facts import Setting
from envcheck.model.patterns import regex

_WHEEL = regex(
    r"(?P<name>torch(?:vision|audio)?)-(?P<version>\d[\w.]*(?:(?:\+|%2B)[\w.]+)?)-(?P<python>cp3\d{1,2})-(?P<abi>\w+)"
    r"-(?P<platform>[\w.]+?)\.whl"
)
_LOOKING = regex(r"^\s*Looking in (?P<kind>indexes|links): (?P<urls>\S.*)$")
_PIP = regex(
    r"^\s{0,8}(?:pip version: )?pip \d[\d.]{1,10}(?: from \S.{1,300})? \(python (?P<python>[23]\.\d{1,2})\)\s{0,4}$"
)
"""What `pip --version` answers."""
_CHOSEN = regex(
    r"^\s{0,8}(?:export |set |setx |\$env:|ENV |- )?(?P<tool>PIP|UV)_"
    r"(?P<key>(?:EXTRA_|DEFAULT_)?INDEX(?:_URL)?|FIND_LINKS)"
    r"(?:\s{0,3}[=:]\s{0,3}|\s)[\"']?(?P<urls>https?://\S{3,400}?)[\"']?\s{0,8}$"
)
"""Indexes that environment variables give."""
_INSTALLED = regex(r"\bSuccessfully installed (?P<names>.{1,3000})$")
_FROM_FILE = regex(
    r"^\s{0,8}(?P<name>torch(?:vision|audio)?) @ \S{1,300}[\\/]torch(?:vision|audio)?"
    r"-(?P<version>\d[\w.]*(?:(?:\+|%2B)\w+)?)-\S{1,80}\.whl"
)
"""`pip freeze` of a wheel that was installed by its address."""
_SATISFIED = regex(
    r"Requirement already satisfied: torch(?:[=<>!~]\S*)? in \S+"
    r"(?: \((?:[^()]|\([^()]{0,20}\)){0,80}\))? ?\((?P<version>[\w.+]+)\)"
)
_TAG = regex(r"^\s{1,12}cp3\d{1,2}-\w{2,8}-manylinux_2_(?P<minor>\d{1,2})_\w{3,10}\s*$")
"""`pip debug`: the first tag has the glibc that is here."""
_SHOW_NAME = regex(r"^\s{0,8}[Nn]ame\s{0,12}: (?P<name>torch(?:vision|audio)?)\s{0,8}$")
_SHOW_FILTERED = regex(
    r"\bpip3? show torch\s{0,3}\|\s{0,3}(?:findstr|grep|Select-String)\b[^|]{0,20}\bversion\W{0,3}$", re.IGNORECASE
)
"""Of what is shown only the version is left."""
_SHOW_VERSION = regex(r"^\s{0,8}[Vv]ersion\s{0,12}: (?P<version>\d[\w.+]{0,60})\s{0,8}$")
_MACHINES = (("x86_64", "x86_64"), ("amd64", "x86_64"), ("aarch64", "aarch64"), ("arm64", "arm64"))
_OSES = (("win", "windows"), ("macosx", "macos"), ("manylinux", "linux"), ("linux", "linux"))
_BLOCK_LINES = 6


def read(page: Page, draft: Draft) -> None:
    """Lines stay messages: signatures of failures look at them, too."""
    shown: str | None = None
    for line in page.lines:
        shown = _show(line, shown, draft)
        frozen = _FROM_FILE.match(line.text) if " @ " in line.text else None
        if frozen:
            _installed(f"{frozen['name']}-{frozen['version'].replace('%2B', '+')}", line, draft)
        tag = _TAG.match(line.text) if "manylinux_2_" in line.text else None
        if tag:
            draft.see("host.libc", "glibc", line, rank=2)
            draft.see("host.libc_version", f"2.{tag['minor']}", line, rank=2)
        pip = _PIP.match(line.text)
        if pip:
            draft.see("python.version", pip["python"], line, rank=5)
        if "whl" in line.text and command_of(line.text) is None:
            _wheel(line, draft)
        looking = _LOOKING.match(line.text)
        if looking:
            key = "index-url" if looking["kind"] == "indexes" else "find-links"
            urls = re.sub(r"//[^/@\s,]*@", "//", looking["urls"].strip())
            draft.settings.append(Setting(tool="pip", key=key, value=urls, origin=line.where()))
        chosen = _CHOSEN.match(line.text) if "_IN" in line.text or "_FIND" in line.text else None
        if chosen:
            key = chosen["key"].casefold().replace("_", "-")
            draft.settings.append(
                Setting(tool=chosen["tool"].casefold(), key=key, value=chosen["urls"], origin=line.where())
            )
        installed = _INSTALLED.search(line.text)
        if installed:
            _installed(installed["names"], line, draft)
        satisfied = _SATISFIED.search(line.text)
        if satisfied:
            draft.see("torch.version", satisfied["version"], line, rank=3)
            draft.see("torch.installed", True, line)


def _show(line: Line, shown: str | None, draft: Draft) -> str | None:
    """`pip show torch`: the version stands right below the name."""
    if _SHOW_FILTERED.search(line.text):
        return "torch"
    name = _SHOW_NAME.match(line.text)
    version = _SHOW_VERSION.match(line.text) if shown else None
    if shown and version:
        draft.package(shown, version["version"], line, installer="pip")
        if shown == "torch":
            draft.see("torch.version", version["version"], line, rank=4)
            draft.see("torch.installed", True, line)
    return name["name"] if name else None


def _wheel(line: Line, draft: Draft) -> None:
    """The tags of a torch wheel that pip chose say which Python and system it serves."""
    if "ERROR" in line.text or "is not a supported wheel" in line.text:
        return
    for match in _WHEEL.finditer(line.text):
        digits = match["python"][2:]
        draft.see("python.version", f"3.{digits[1:]}", line, rank=2)
        platform = match["platform"]
        draft.see("host.os", next((os for word, os in _OSES if platform.startswith(word)), None), line, rank=2)
        draft.see(
            "host.machine", next((arch for word, arch in _MACHINES if platform.endswith(word)), None), line, rank=2
        )


def _installed(names: str, line: Line, draft: Draft) -> None:
    for word in names.split():
        match = re.fullmatch(r"(torch(?:vision|audio)?|numpy)-(\d[\w.+]*)", word)
        if match is None:
            continue
        draft.package(match[1], match[2], line, installer="pip")
        if match[1] == "torch":
            draft.see("torch.version", match[2], line, rank=3)
            draft.see("torch.installed", True, line)
