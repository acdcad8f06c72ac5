"""What the local part of torch's version says: `2.1.0+cu118` was made for CUDA 11.8. Asked last of all."""

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Page
from envcheck.model.patterns import regex

_CUDA = regex(r"\+cu(?P<major>\d{1,2})(?P<minor>\d)(?![0-9a-z])")


def read(_page: Page, draft: Draft) -> None:
    """The CUDA of the build, unless the text tells it itself."""
    line = draft.line_of("torch.version")
    if line is None or draft.best("torch.cuda_known") or draft.best("torch.cuda") or draft.best("torch.hip"):
        return
    made_for = _CUDA.search(str(draft.best("torch.version")))
    if made_for:
        draft.see("torch.cuda", f"{made_for['major']}.{made_for['minor']}", line, rank=1)
