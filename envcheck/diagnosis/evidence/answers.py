"""Whether CUDA is available, and which, in the words of programs' own summaries: `CUDA available: No`, `GPU: False`."""

import re

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.frameworks import VERSION
from envcheck.diagnosis.evidence.page import Line, Page, command_of
from envcheck.model.patterns import regex

_ANSWER = (
    r"(?P<answer>not (?:available|detected|found|supported|usable)|unavailable|disabled|none|no|false"
    r"|不可用|不支持|否|无|available|enabled|detected|yes|true|可用|支持|是)(?![\w.-])"
)
_AVAILABLE = (
    regex(
        r"(?<![\w/.-])(?:is[ _]{1,2})?(?:(?:py)?torch(?:'s)?[ _.:]{1,3})?(?P<what>CUDA|GPU)s?"
        r"(?: devices?| support| acceleration| status)?"
        r"(?:[ _.-]{0,2}(?:is[ _-]?)?(?:available|availability|avail|usable)|\s?(?:是否)?可用(?:性|吗)?)(?:\(\))?"
        rf"\s{{0,2}}[?？]?\s{{0,8}}(?:[:：=?？|]|->|=>|→|\.{{2,40}})\s{{0,8}}[^\w\s]{{0,3}}\s?{_ANSWER}",
        re.IGNORECASE,
    ),
    regex(
        r"(?<![\w/.-])(?:(?:Py)?[Tt]orch[ -])?(?P<what>CUDA|GPU)(?: support| acceleration| status)?\s?[:：=]\s{0,4}"
        r"[^\w\s]{0,3}\s?(?P<answer>False|True|No|Yes|[Nn]ot available|[Uu]navailable|[Nn]ot found|[Nn]ot detected"
        r"|不可用|可用)(?=\s{0,4}(?:\Z|[|,;)\]]))"
    ),
    regex(rf"\b[Tt]orch {VERSION}(?:,|\s\|)? (?P<what>CUDA)(?: available)? (?P<answer>True|False)\b"),
    regex(r"^\W{0,3}(?P<what>CUDA|cuda|GPU|gpu) (?P<answer>False|True)\s{0,4}$"),
    regex(rf"\btorch[ =]{VERSION} (?P<what>cuda)=(?P<answer>True|False)\b"),
)
_NEEDED = (
    ("vail", "VAIL", "sable", "可用"),
    (
        "CUDA:",
        "GPU:",
        "CUDA =",
        "GPU =",
        "CUDA=",
        "GPU=",
        "CUDA :",
        "GPU :",
        "CUDA：",
        "GPU：",
        "upport",
        "tatus",
        "cceler",
    ),
    ("orch ",),
    ("uda False", "UDA False", "pu False", "PU False", "uda True", "UDA True", "pu True", "PU True"),
    ("cuda=",),
)
"""One of them stands in every line that the pattern fits: most lines need not be searched, nor patterns compiled."""
_NO = regex(r"not |un|dis|no|false|不|否|无", re.IGNORECASE)
_OTHER_GPU = regex(r"\s{0,2}\((?:mps|xpu|hpu|npu)\)|\b(?:mps|metal)\b", re.IGNORECASE)
_NOT_SO = regex(r"\b(?:expect|should|must|if|want)\w*\b|应该|期望", re.IGNORECASE)
_NONE = regex(
    r"(?<![\w./-])(?:(?:py)?torch[ _.]?)?cuda(?:[ _.]?(?:version|runtime version|build))?(?:版本)?\s{0,8}[:：=|]\s{0,8}"
    r"['\"]?None\b",
    re.IGNORECASE,
)
_BUILT_FOR = regex(
    r"(?:\bcuda(?: version)? \((?:py)?torch\)|\b(?:py)?torch(?:'s)? cuda(?: version)?|\bcuda \(of (?:py)?torch\))"
    r"\s{0,4}[:：=]\s{0,4}['\"]?(?P<cuda>\d{1,2}\.\d{1,2})\b",
    re.IGNORECASE,
)
_FIELD = regex(
    rf"^\W{{0,4}}(?:Py)?Torch(?: ?version)?(?:版本)?\s?[:：=v]{{0,2}}\s{{0,4}}v?(?P<version>{VERSION})\W{{0,3}}$",
    re.IGNORECASE,
)
_BETWEEN = regex(r"\s[|•·;/]\s|,\s|;\s")


def read(page: Page, draft: Draft) -> None:
    """Lines that nobody typed as a command; other readers may have taken them for another fact."""
    small = page.text.casefold()
    if "cuda" not in small and "gpu" not in small and "torch" not in small:
        return
    plain = "torch" in small and "+cu" not in small
    for line in page.lines:
        if len(line.text) < 6 or page.denied(line) or command_of(line.text) is not None:
            continue
        _available(line, draft)
        if plain and "one" in line.text and _NONE.search(line.text):
            draft.see("torch.cuda_known", True, line, rank=3)
        asked = "orch" in line.text and ("(" in line.text or "orch C" in line.text or "orch c" in line.text)
        built = _BUILT_FOR.search(line.text) if asked or "'s" in line.text else None
        if built:
            draft.see("torch.cuda", built["cuda"], line, rank=5)
            draft.see("torch.cuda_known", True, line, rank=5)
        for field in _BETWEEN.split(line.text) if "orch" in line.text else ():
            found = _FIELD.match(field)
            if found:
                draft.see("torch.version", found["version"], line, rank=3)
                draft.see("torch.installed", True, line)
                draft.see("torch.imported", True, line)


def _available(line: Line, draft: Draft) -> None:
    for pattern, words in zip(_AVAILABLE, _NEEDED, strict=True):
        found = pattern.search(line.text) if any(word in line.text for word in words) else None
        if found and not _NOT_SO.search(line.text):
            no = _NO.match(found["answer"]) is not None
            if no or not _OTHER_GPU.search(line.text):
                draft.see("torch.cuda_available", not no, line, rank=4)
            return
