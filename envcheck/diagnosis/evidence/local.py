"""Torch's CUDA by its version's local part (`2.1.0+cu118`), where nothing else told it."""

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Page
from envcheck.model.patterns import regex

_CUDA = regex(r"\+cu(?P<major>\d{1,2})(?P<minor>\d)(?![0-9a-z])")


def read(page: Page, draft: Draft) -> None:
    """Asked after all that read the page: the version in force counts."""
    del page
    line = draft.line_of("torch.version")
    if line is None or draft.best("torch.cuda_known") or draft.best("torch.cuda") or draft.best("torch.hip"):
        return
    made_for = _CUDA.search(str(draft.best("torch.version")))
    if made_for:
        draft.see("torch.cuda", f"{made_for['major']}.{made_for['minor']}", line, rank=1)
