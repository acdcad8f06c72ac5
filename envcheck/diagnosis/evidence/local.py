"""Asked last of all: what torch's version says by its tag (`2.1.0+cu118`), and a GPU that is only named."""

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Page
from envcheck.model.patterns import regex

_CUDA = regex(r"\+cu(?P<major>\d{1,2})(?P<minor>\d)(?![0-9a-z])")


_CARD = regex(
    r"\b(?:NVIDIA )?(?:GeForce )?(?:RTX|GTX) ?\d{3,4}(?: ?(?:Ti SUPER|Ti|SUPER))?(?! ?\d)(?: Laptop GPU)?"
    r"|\b(?:NVIDIA )?Tesla [A-Z]\d{1,3}\b|\bNVIDIA [ABHLT]\d{1,3}S?\b"
    r"|\b[ABH]\d{3}(?:-SXM\d?|-PCIE| SXM\d?| PCIe)(?:-\d{2}GB)?\b"
    r"|\b(?:NVIDIA )?Quadro (?:RTX |[KMP])\d{3,4}\b"
)

_ABOUT_KERNELS = regex(r"no kernel image|--gpu-architecture|ARCH_MISMATCH|too old to be supported|NoKernelImage")
"""Complaints that depend on the GPU's generation."""


def read(page: Page, draft: Draft) -> None:
    """What nothing else told: the CUDA of the build by its tag, the GPU by the only name that stands in the text."""
    _made_for(draft)
    asked = any(_ABOUT_KERNELS.search(line.text) for line in page.lines)
    if draft.gpus or draft.pci or draft.best("amd.gpus") or not asked:
        return
    found = {match[0].removeprefix("NVIDIA "): line for line in page.lines for match in _CARD.finditer(line.text)}
    if len(found) == 1:
        name, line = next(iter(found.items()))
        draft.gpu_named(name, line)


def _made_for(draft: Draft) -> None:
    line = draft.line_of("torch.version")
    if line is None or draft.best("torch.cuda_known") or draft.best("torch.cuda") or draft.best("torch.hip"):
        return
    made_for = _CUDA.search(str(draft.best("torch.version")))
    if made_for:
        draft.see("torch.cuda", f"{made_for['major']}.{made_for['minor']}", line, rank=1)
