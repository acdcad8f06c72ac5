"""Asked last of all: torch's CUDA by its version's tag (`2.1.0+cu118`), a GPU or a Python that is only named."""

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page, command_of
from envcheck.model.patterns import regex

_CUDA = regex(r"\+cu(?P<major>\d{1,2})(?P<minor>\d)(?![0-9a-z])")


_CARD = regex(
    r"\b(?:NVIDIA )?(?:GeForce )?(?:RTX|GTX) ?\d{3,4}(?: ?(?:Ti SUPER|Ti|SUPER))?(?! ?\d)(?: Laptop GPU)?"
    r"|\b(?:NVIDIA )?Tesla [A-Z]\d{1,3}\b|\bNVIDIA [ABHLT]\d{1,3}S?\b"
    r"|\b[ABH]\d{3}(?:-SXM\d?|-PCIE| SXM\d?| PCIe)(?:-\d{2}GB)?\b"
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
_ABOUT_KERNELS = regex(r"no kernel image|--gpu-architecture|ARCH_MISMATCH|too old to be supported|NoKernelImage")
"""Complaints that depend on the GPU's generation."""


def read(page: Page, draft: Draft) -> None:
    """What nothing else told: the CUDA of the build by its tag, the GPU by the only name that stands in the text."""
    _made_for(draft)
    if draft.best("python.version") is None:
        _named_python(page, draft)
    asked = any(_ABOUT_KERNELS.search(line.text) for line in page.lines)
    if draft.gpus or draft.pci or draft.best("amd.gpus") or not asked:
        return
    found = {match[0].removeprefix("NVIDIA "): line for line in page.lines for match in _CARD.finditer(line.text)}
    if len(found) == 1:
        name, line = next(iter(found.items()))
        draft.gpu_named(name, line)


def _named_python(page: Page, draft: Draft) -> None:
    """The interpreter that the last command, or a file, names where none said its version itself."""
    told: list[tuple[str, Line]] = []
    for line in page.lines:
        if "3." not in line.text:
            continue
        typed = command_of(line.text) is not None or line.text.lstrip().startswith(("RUN ", "pip", "python", "conda"))
        patterns = (_RUN_BY, _MADE_WITH, _WRITTEN) if typed else (_WRITTEN,)
        found = [match for pattern in patterns if (match := pattern.search(line.text))]
        told += [(next(word for word in match.groups() if word), line) for match in found]
    if told:
        version, line = told[-1]
        draft.see("python.version", version, line, rank=1)


def _made_for(draft: Draft) -> None:
    line = draft.line_of("torch.version")
    if line is None or draft.best("torch.cuda_known") or draft.best("torch.cuda") or draft.best("torch.hip"):
        return
    made_for = _CUDA.search(str(draft.best("torch.version")))
    if made_for:
        draft.see("torch.cuda", f"{made_for['major']}.{made_for['minor']}", line, rank=1)
