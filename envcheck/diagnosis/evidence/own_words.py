"""Asked last of all: a card, a driver, a system or a Python that is only named, by a command or in one's own words."""

import re

from envcheck.diagnosis.evidence.devices import amd_seen
from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page, command_of
from envcheck.model.patterns import regex

_CARD = regex(
    r"(?<![A-Za-z0-9])(?:NVIDIA )?(?:GeForce )?(?:RTX|GTX|rtx|gtx|Rtx|Gtx)[ -]?\d{3,4}"
    r"(?: ?(?:Ti SUPER|Ti|SUPER|ti|super))?(?! ?\d)(?: Laptop GPU)?"
    r"|\b(?:NVIDIA )?Tesla [A-Z]\d{1,3}\b|\bNVIDIA [ABHLT]\d{1,3}S?\b"
    r"|\b[ABH]\d{3}(?:-SXM\d?|-PCIE| SXM\d?| PCIe)(?:-\d{2}GB)?\b|\b(?:NVIDIA )?RTX A\d{4}\b"
    r"|(?<![\w/.-])(?:NVIDIA )?(?:[ABHPV]|GB|GH)[1-9]00(?![\w/.-])"
    r"|\b(?:NVIDIA )?Quadro (?:RTX |[KMP])\d{3,4}\b"
)

_PYTHON = r"(?P<version>3\.\d{1,2}(?:\.\d{1,2})?)\b"
_RUN_BY = regex(
    rf"(?:^|[\s/\\;&|(\"])(?:pip|python|py -)(?P<run>3\.\d{{1,2}})(?:-\d\d)?(?:\.exe)?\"?(?=\s|$)"
    rf"|\b(?:conda|mamba|micromamba|pixi)\b.{{1,200}}?\bpython\s?={{1,2}}\s?{_PYTHON}"
)
"""A command that names the interpreter which it runs or installs."""
_MADE_WITH = regex(
    r"\b(?:uv|virtualenv|pipenv|hatch|pdm|poetry)\b.{0,120}?\s(?:--python|-p)[= ](?:c?python-?)?"
    r"(?P<asked>3\.\d{1,2})\b"
    r"|\b(?:uv python (?:pin|install)|pyenv (?:local|global|shell)|poetry env use|pdm use)\s(?:-\w\s)?"
    rf"(?:python)?{_PYTHON}"
)
_WRITTEN = regex(
    rf"^\s{{0,8}}(?:\d{{1,4}} \| )?FROM\s+(?:\S{{1,80}}/)?python:{_PYTHON}"
    r"|\bdocker run\b.{1,200}\spython:(?P<image>3\.\d{1,2})"
    r"|^\s{0,12}-?\s{0,4}python-version:\s{0,4}[\"']?(?P<step>3\.\d{1,2})[\"']?\s*$"
    r"|^\s{0,8}- python={1,2}(?P<listed>3\.\d{1,2}(?:\.\d{1,2})?)\s*$"
)
"""A Dockerfile, a workflow, an environment's file."""
_DRIVER = regex(
    r"(?:\bdrivers?|驱动|\bKMD|\bNVIDIA-SMI)(?:\s?(?:version|ver\.?|版本号?|程序))*\s{0,2}(?:is|was|at|为|是)?\s{0,2}[:：=(v]{0,2}\s{0,2}"
    r"(?P<version>\d{3}\.\d{2,3}(?:\.\d{2,3})?)(?![\w-]|\.\d)",
    re.IGNORECASE,
)
_SAID_TORCH = regex(
    r"(?<![\w/.-])(?:py)?torch[ :：=v]{1,3}(?P<version>[12]\.\d{1,2}(?:\.\d{1,2})?)"
    r"(?:\s?(?:with|and|on|[+,、和，/&])\s?)?\s?\(?cu(?:da)?[ -]?(?P<cuda>\d{1,2}\.\d)\b",
    re.IGNORECASE,
)
_TAGGED_TORCH = regex(
    r"(?<![\w/.-])(?:Py)?[Tt]orch[ `'\":(]{1,4}"
    r"(?P<version>[12]\.\d{1,2}\.\d{1,2}\+(?:cpu|cu\d{2,3}|rocm[\d.]{1,6}))(?![\w.-])"
)
_SAID_PYTHON = regex(
    rf"(?<![\w/\\.-])Python(?:\s?版本|\sversion)?(?:\sis|是|为)?[\s:：=]{{0,3}}{_PYTHON}(?![\w.]*[/\\])", re.IGNORECASE
)
_SYSTEMS = (
    (
        regex(r"(?<![\w-])(?:Windows ?(?:1[01]|7|8(?:\.1)?|Server ?20\d\d)|Win ?1[01])(?![\w-])", re.IGNORECASE),
        "windows",
    ),
    (
        regex(
            r"(?<![\w/:@.-])(?:Ubuntu|Debian|CentOS|Fedora|RHEL|Rocky ?Linux|AlmaLinux|Arch ?Linux|Manjaro|Linux ?Mint"
            r"|openSUSE|Pop!_OS)(?![\w-])"
        ),
        "linux",
    ),
)
_DEMANDED = regex(
    r"requir|\bneeds?\b|at least|minimum|\bmin\b|or (?:newer|later|higher|above)|>=|≥|\d\+(?:\s|$)"
    r"|(?<!pip )(?<!conda )\b(?:update|upgrade|install|download)(?!ed\b)"
    r"|\bsupports?\b|recommend|tested|e\.g\.|https?://|最低|至少|需要|以上|要求|支持|升级|更新|安装",
    re.IGNORECASE,
)
"""A line that speaks of what is wanted, or of others' machines."""
_RADEON = regex(r"(?<![A-Za-z0-9])(?:AMD )?Radeon (?:RX|Pro|VII)(?: [\dW][\w]{2,6})?(?: XTX?| GRE)?(?![\w/])")
_ABOUT_KERNELS = regex(r"no kernel image|--gpu-architecture|ARCH_MISMATCH|too old to be supported|NoKernelImage")
"""Complaints that depend on the GPU's generation."""


def read(page: Page, draft: Draft) -> None:
    """What nothing else told, where the text names one only."""
    if draft.best("python.version") is None:
        _named_python(page, draft)
    if draft.best("torch.version") is None:
        _told_torch(page, draft)
    _told_driver(page, draft)
    _told_system(page, draft)
    if not draft.gpus and not draft.pci and not draft.best("amd.gpus"):
        _told_card(page, draft)


def _told_card(page: Page, draft: Draft) -> None:
    """The one card that is named; a complaint about its kernels is about the card that torch uses."""
    asked = any(_ABOUT_KERNELS.search(line.text) for line in page.lines)
    found = {
        match[0].removeprefix("NVIDIA "): line
        for line in page.lines
        for match in _CARD.finditer(line.text)
        if asked or not _DEMANDED.search(line.text)
    }
    if len(found) == 1:
        name, line = next(iter(found.items()))
        (draft.gpu_named if asked else draft.gpu_told)(name, line)
    told = {match[0]: line for line in page.lines for match in _RADEON.finditer(line.text)}
    if len(told) == 1 and not found and not _DEMANDED.search(next(iter(told.values())).text):
        amd_seen(*next(iter(told.items())), draft)


def _told_torch(page: Page, draft: Draft) -> None:
    """The one pair of a release and its CUDA that is named."""
    told = {
        (match["version"], match["cuda"]): line
        for line in page.lines
        for match in _SAID_TORCH.finditer(line.text)
        if not _DEMANDED.search(line.text)
    }
    tagged = {match["version"]: line for line in page.lines for match in _TAGGED_TORCH.finditer(line.text)}
    if len(tagged) == 1:
        draft.see("torch.version", *next(iter(tagged.items())), rank=1)
    elif len(told) == 1:
        (version, cuda), line = next(iter(told.items()))
        draft.see("torch.version", version, line, rank=1)
        draft.see("torch.cuda", cuda, line, rank=1)
        draft.see("torch.cuda_known", True, line, rank=1)


def _told_system(page: Page, draft: Draft) -> None:
    """The one family of systems that is named anywhere; a text that names two says nothing."""
    if draft.best("host.os") is not None:
        return
    told = {
        family: line
        for pattern, family in _SYSTEMS
        for line in page.lines
        if pattern.search(line.text) and not _DEMANDED.search(line.text)
    }
    if len(told) == 1:
        family, line = next(iter(told.items()))
        draft.see("host.os", family, line, rank=1)


def _told_driver(page: Page, draft: Draft) -> None:
    """The one driver version in somebody's own words; what a guide or an error demands is another's."""
    if draft.seen_many("nvidia.driver_versions"):
        return
    told = [
        (match["version"], line)
        for line in page.lines
        for match in _DRIVER.finditer(line.text)
        if not _DEMANDED.search(line.text)
    ]
    if len({version for version, _ in told}) == 1:
        draft.see_many("nvidia.driver_versions", *told[0])


def _named_python(page: Page, draft: Draft) -> None:
    """The interpreter that the last command or a file names, or one's own words, where none said its version itself."""
    told: list[tuple[str, Line]] = []
    for line in page.lines:
        if "3." not in line.text:
            continue
        typed = command_of(line.text) is not None or line.text.lstrip().startswith(("RUN ", "pip", "python", "conda"))
        patterns = (_RUN_BY, _MADE_WITH, _WRITTEN) if typed else (_WRITTEN,)
        found = [match for pattern in patterns if (match := pattern.search(line.text))]
        told += [(next(word for word in match.groups() if word), line) for match in found]
    if not told:
        said = {
            match["version"]: line
            for line in page.lines
            for match in _SAID_PYTHON.finditer(line.text)
            if not _DEMANDED.search(line.text)
        }
        told = list(said.items()) if len(said) == 1 else []
    if told:
        version, line = told[-1]
        draft.see("python.version", version, line, rank=1)
