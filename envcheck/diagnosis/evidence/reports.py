"""Other programs' own reports: detectron2 and mmcv, transformers and accelerate, Lightning, Ultralytics, ComfyUI."""

import re

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.model.patterns import regex

_VERSION = r"\d+\.\d+[\w.+]*"
_TORCH_AND_ANSWER = regex(
    rf"`?PyTorch`? version \([\w ]{{2,20}}\?\)\s*:\s*(?P<version>{_VERSION})"
    r"(?: \((?P<answer>True|False|[\w ]{1,20})\))?"
)
_FOUND = regex(rf"\bPyTorch version (?P<version>{_VERSION}) (?:Found|available)\b", re.IGNORECASE)
_ULTRALYTICS = regex(rf"\bPython-(?P<python>3\.[\d.]+)\s+torch-(?P<torch>{_VERSION})\s+(?P<device>CPU|CUDA:\d)")
_GPU_LIST = regex(
    r"^\s{0,8}[-*]?\s{0,2}GPU (?P<indices>\d{1,2}(?:,\d{1,2}){0,63})\s*:?\s+(?P<name>[A-Z][\w .()-]{3,60}?)"
    r"\s*(?:\(arch=(?P<cc>\d+\.\d)\))?\s*$"
)
_COLUMNS = regex(
    r"^\s{0,8}(?P<key>PyTorch|CUDA available|GPU available|Driver version|Python|sys\.platform)\s{1,40}"
    rf"(?P<value>{_VERSION}|True|False|Yes|linux|win32|darwin)\b"
)
_GPU_TYPE = regex(
    r"^\s{0,8}[-*]\s+GPU type\s*:\s*(?P<name>\S.{2,60}?)\s*$"
    r"|^\s{0,8}(?:\[\w{2,20}\] )?(?:Device:|- \*{0,2}Name:\*{0,2}) cuda:(?P<index>\d) (?P<device>\S.{2,60}?)"
    r"(?: : \w+)?\s*$"
)
_LIGHTNING = regex(
    r"^\s{0,8}[-*]\s+(?P<key>available|pytorch_version|torch|version|python|system|processor)\s*:\s+(?P<value>\S{1,60})"
)
_SYSTEMS = {"linux": "linux", "win32": "windows", "windows": "windows", "darwin": "macos"}


def read(page: Page, draft: Draft) -> None:
    """Lines of these forms; the rest is left alone."""
    for line in page.lines:
        if len(line.text) < 8 or page.taken(line):
            continue
        _versions(line, draft)
        _devices(line, draft)
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
        answer = {"True": True, "False": False}.get(both["answer"] or "")
        draft.see("torch.cuda_available", answer, line, rank=8)
    found = _FOUND.search(line.text)
    if found:
        _pair("torch", found["version"], line, draft)
    ultralytics = _ULTRALYTICS.search(line.text)
    if ultralytics:
        _pair("torch", ultralytics["torch"], line, draft)
        _pair("python", ultralytics["python"], line, draft)


def _devices(line: Line, draft: Draft) -> None:
    rows = _GPU_LIST.match(line.text)
    if rows and "," in rows["indices"]:
        for index in rows["indices"].split(","):
            draft.gpu(int(index), line, name=rows["name"], compute_capability=rows["cc"])
    elif rows and not draft.gpus:
        draft.gpu(int(rows["indices"]), line, name=rows["name"], compute_capability=rows["cc"])
    named = _GPU_TYPE.match(line.text)
    if named:
        draft.gpu_named((named["name"] or named["device"]).strip(), line)


def _pair(key: str, value: str, line: Line, draft: Draft) -> None:
    if key in ("pytorch", "torch", "pytorch_version") and value[0].isdigit():
        draft.see("torch.version", value, line, rank=7)
        draft.see("torch.installed", True, line)
        draft.see("torch.imported", True, line)
    elif key == "python" and value.startswith("3."):
        draft.see("python.version", value, line, rank=7)
    elif key in ("cuda available", "gpu available", "available") and value in ("True", "False", "Yes"):
        draft.see("torch.cuda_available", value != "False", line, rank=6)
    elif key == "driver version" and re.fullmatch(r"\d{3}\.\d+(?:\.\d+)?", value):
        draft.see_many("nvidia.driver_versions", value, line)
    elif key in ("sys.platform", "system"):
        draft.see("host.os", _SYSTEMS.get(value.casefold()), line, rank=6)
