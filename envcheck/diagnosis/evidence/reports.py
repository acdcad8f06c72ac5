"""Other programs' own reports, a key and a value a line: detectron2, mmcv, sglang, transformers, accelerate."""

import re

from envcheck.diagnosis.evidence.devices import card_seen, is_amd, is_card
from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.model.patterns import regex

_VERSION = r"\d+\.\d+[\w.+]*"
_TORCH_AND_ANSWER = regex(
    rf"`?PyTorch`? version \([\w ]{{2,20}}\?\)\s*:\s*(?P<version>{_VERSION})"
    r"(?: \((?P<answer>True|False|[\w ]{1,20})\))?"
)
_FOUND = regex(rf"\bPyTorch version (?P<version>{_VERSION}) (?:Found|available)\b", re.IGNORECASE)
_GPU_LIST = regex(
    r"^\s{0,8}[-*]?\s{0,2}GPU (?P<indices>\d{1,2}(?:,\d{1,2}){0,63})\s*:?\s+(?P<name>[A-Z][\w .()/-]{3,60}?)"
    r"\s*(?:\(arch=(?P<cc>\d+\.\d)\))?\s*$"
)
_GPU_CAPABILITY = regex(
    r"^\s{0,8}GPU (?P<indices>\d{1,2}(?:,\d{1,2}){0,63}) Compute Capability: (?P<cc>\d{1,2}\.\d)\s{0,8}$"
)
_BUILT_WITH = regex(r"^\s{0,8}(?:-\s)?Built with CUDA Runtime (?P<cuda>\d{1,2}\.\d{1,2})\s{0,8}$")
"""Stands in a build description only where the runtime that is loaded is another than torch.version.cuda."""
_COLUMNS = regex(
    r"^\s{0,8}(?P<key>PyTorch|torch\.__version__|CUDA available|GPU available|torch\.cuda\.is_available(?:\(\))?"
    r"|(?:NVIDIA )?[Dd]river [Vv]ersion|Python|sys\.platform)\s{1,40}"
    rf"(?P<value>{_VERSION}|True|False|Yes|linux|win32|darwin)\b"
)
_AT = regex(r"^\s{0,8}(?P<name>torchvision|torchaudio)\s{2,40}(?P<version>\d[\w.+]{2,30}) @\S")
"""detectron2 names the folder of each package."""
_ROCM_SMI = regex(
    r"^\s{0,8}GPU\[(?P<index>\d{1,2})\]\s{0,8}: \s{0,4}(?:Device Name|Card [Ss]eries|Card SKU Name):\s{1,8}"
    r"(?P<name>\S.{2,60}?)\s*$"
)
_GPU_TYPE = regex(r"^\s{0,8}(?:[-*]\s+)?GPU type\s*:\s*(?P<name>\S.{2,60}?)\s*$")
_LIGHTNING = regex(
    r"^\s{0,8}[-*]\s+(?P<key>available|pytorch_version|torch|version|python|system|processor)\s*:\s+(?P<value>\S{1,60})"
)
_SYSTEMS = {"linux": "linux", "win32": "windows", "windows": "windows", "darwin": "macos"}


def read(page: Page, draft: Draft) -> None:
    """Lines of these forms; the rest is left alone."""
    fresh = not draft.gpus
    for line in page.lines:
        if len(line.text) < 8 or page.taken(line):
            continue
        _versions(line, draft)
        _devices(line, draft, fresh=fresh)
        companion = _AT.match(line.text)
        if companion:
            draft.package(companion["name"], companion["version"], line)
        columns = _COLUMNS.match(line.text)
        if columns:
            _pair(columns["key"].casefold(), columns["value"], line, draft)
        lightning = _LIGHTNING.match(line.text)
        if lightning:
            _pair(lightning["key"], lightning["value"], line, draft)


def _versions(line: Line, draft: Draft) -> None:
    both = _TORCH_AND_ANSWER.search(line.text)
    if both:
        _pair("torch", both["version"], line, draft)
        answer = {"True": True, "False": False, "CUDA": True}.get(both["answer"] or "")
        draft.see("torch.cuda_available", answer, line, rank=8)
    found = _FOUND.search(line.text)
    if found:
        _pair("torch", found["version"], line, draft)
    built = _BUILT_WITH.match(line.text)
    if built:
        draft.see("torch.cuda", built["cuda"], line, rank=7)
        draft.see("torch.cuda_known", True, line, rank=7)


def _devices(line: Line, draft: Draft, *, fresh: bool) -> None:
    """`GPU 0,1: name`, as many lines as there are products; a card that a table has told is not told again."""
    rows = _GPU_LIST.match(line.text)
    card = rows is not None and (rows["cc"] is not None or is_card(rows["name"]) or is_amd(rows["name"]))
    if rows and card and (fresh or "," in rows["indices"]):
        for index in rows["indices"].split(","):
            card_seen(rows["name"], line, draft, index=int(index), compute_capability=rows["cc"])
    capability = _GPU_CAPABILITY.match(line.text)
    if capability:
        for index in (one for one in capability["indices"].split(",") if int(one) in draft.gpus):
            draft.gpu(int(index), line, compute_capability=capability["cc"])
    listed = _ROCM_SMI.match(line.text)
    if listed and is_amd(listed["name"]):
        card_seen(listed["name"], line, draft, index=int(listed["index"]))
    named = _GPU_TYPE.match(line.text)
    if named:
        card_seen(named["name"].strip(), line, draft)


def _pair(key: str, value: str, line: Line, draft: Draft) -> None:
    if key in ("pytorch", "torch", "pytorch_version", "torch.__version__") and value[0].isdigit():
        draft.see("torch.version", value, line, rank=7)
        draft.see("torch.installed", True, line)
        draft.see("torch.imported", True, line)
    elif key == "python" and value.startswith("3."):
        draft.see("python.version", value, line, rank=7)
    elif key.removesuffix("()") in (
        "cuda available",
        "gpu available",
        "available",
        "torch.cuda.is_available",
    ) and value in ("True", "False", "Yes"):
        draft.see("torch.cuda_available", value != "False", line, rank=6)
    elif key.removeprefix("nvidia ") == "driver version" and re.fullmatch(r"\d{3}\.\d+(?:\.\d+)?", value):
        draft.see_many("nvidia.driver_versions", value, line)
    elif key in ("sys.platform", "system"):
        draft.see("host.os", _SYSTEMS.get(value.casefold()), line, rank=6)
