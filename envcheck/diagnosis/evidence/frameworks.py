"""Reports with sections or leaders: fastai's show_install, Lightning's, DeepSpeed's ds_report, xformers.info."""

import re

from envcheck.diagnosis.evidence.devices import card_seen
from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.model.facts import Tool
from envcheck.model.patterns import regex

VERSION = r"\d{1,2}\.\d{1,2}[\w.+]{0,40}"
_FASTAI = regex(
    rf"^\s{{0,8}}(?:torch(?: version)?\s{{1,12}}: (?P<torch>{VERSION})"
    r"|torch cuda\s{1,12}: (?P<cuda>\d{1,2}\.\d[\d.]{0,8}|None)\s?/\s?is \**(?P<answer>available|Not available)\**"
    r"|torch cuda is\s{1,4}: \**(?P<alone>available|Not available)\**"
    r"|nvidia driver\s{1,12}: (?P<driver>\d{3}\.\d{1,3}(?:\.\d{1,3})?)"
    r"|- gpu(?P<index>\d{1,2})\s{1,12}: (?P<memory>\d{1,7})MB \| (?P<name>\S.{1,60}?))\s{0,8}$"
)
_LEADER = regex(
    r"^\s{0,8}(?P<key>torch install path|torch version|torch cuda version|torch hip version|nvcc version)"
    r" \.{3,40} (?P<value>\S{1,60})\s{0,8}$"
)
_BUILT_FOR = regex(rf"\bPyTorch {VERSION} with CUDA \d{{3,5}} \(you have (?P<have>{VERSION})\)")
"""xFormers' complaint that it was built for another torch."""
_XFORMERS = regex(
    r"^\s{0,8}(?P<key>pytorch\.version|pytorch\.cuda|gpu\.compute_capability|gpu\.name):\s{1,60}(?P<value>\S.{0,60}?)\s{0,8}$"
)
_SECTION = regex(r"^\s{0,8}(?:[-*•]\s{1,3})?\**(?P<name>cuda|packages|lightning|system)\**:?\s{0,4}$", re.IGNORECASE)
_GPU_HEAD = regex(r"^\s{0,20}(?:[-*•]\s{1,3})?GPU:\s{0,4}(?P<value>None)?$")
_PAIR = regex(
    r"^\s{0,20}(?:[-*•]\s{1,3})?(?P<key>available|version|pytorch_version|torch|os|python):\s{1,40}(?P<value>\S{1,60})\s{0,8}$",
    re.IGNORECASE,
)
_PADDLE = regex(r"\bdevice: (?P<index>\d{1,2}), GPU Compute Capability: (?P<cc>\d{1,2}\.\d)\b")
_SYSTEMS = {"linux": "linux", "windows": "windows", "darwin": "macos"}
_ITEM = regex(r"^\s{0,32}(?:[-*•]\s{1,3})?(?P<name>[A-Z][^:\n]{2,60}?)\s{0,8}$")


def read(page: Page, draft: Draft) -> None:
    """Lines stay messages."""
    section, listing, count = "", False, 0
    for line in page.lines:
        if len(line.text) < 4 or page.taken(line):
            continue
        _one(line, draft)
        paddle = _PADDLE.search(line.text) if "Compute Capability" in line.text else None
        if paddle:
            draft.gpu(int(paddle["index"]), line, compute_capability=paddle["cc"])
        head = _SECTION.match(line.text)
        if head:
            section, listing = head["name"].casefold(), False
        elif section == "cuda" and _GPU_HEAD.match(line.text):
            listing, count = True, 0
        else:
            item = _ITEM.match(line.text) if listing and not _PAIR.match(line.text) else None
            listing = item is not None
            if item:
                card_seen(item["name"], line, draft, index=count)
                count += 1
            elif section:
                _lightning(section, line, draft)


def _lightning(section: str, line: Line, draft: Draft) -> None:
    """`* CUDA:` with `available` and `version` (torch.version.cuda), packages with torch's own version."""
    pair = _PAIR.match(line.text)
    if pair is None:
        return
    key, value = pair["key"].casefold(), pair["value"]
    if section == "cuda" and key == "available" and value in ("True", "False"):
        draft.see("torch.cuda_available", value == "True", line, rank=6)
    elif section == "cuda" and key == "version":
        build_cuda(value, line, draft)
    elif section in ("packages", "lightning") and key in ("pytorch_version", "torch"):
        torch_seen(value, line, draft)
    elif section == "system" and key == "os":
        draft.see("host.os", _SYSTEMS.get(value.casefold()), line, rank=7)
    elif section == "system" and key == "python" and re.fullmatch(VERSION, value):
        draft.see("python.version", value, line, rank=7)


def _one(line: Line, draft: Draft) -> None:
    fastai = _FASTAI.match(line.text)
    if fastai:
        _fastai(fastai, line, draft)
    leader = _LEADER.match(line.text)
    if leader:
        _deepspeed(leader["key"], leader["value"], line, draft)
    found = _BUILT_FOR.search(line.text)
    if found:
        torch_seen(found["have"], line, draft)
    xformers = _XFORMERS.match(line.text)
    if xformers:
        _xformers(xformers["key"], xformers["value"], line, draft)


def _fastai(match: re.Match[str], line: Line, draft: Draft) -> None:
    if match["torch"]:
        torch_seen(match["torch"], line, draft)
    elif match["answer"]:
        build_cuda(match["cuda"], line, draft)
        draft.see("torch.cuda_available", match["answer"] == "available", line, rank=7)
    elif match["alone"]:
        draft.see("torch.cuda_available", match["alone"] == "available", line, rank=7)
    elif match["driver"]:
        draft.see_many("nvidia.driver_versions", match["driver"], line)
    elif match["name"]:
        draft.gpu(int(match["index"]), line, name=match["name"], memory_bytes=int(match["memory"]) << 20)


def _deepspeed(key: str, value: str, line: Line, draft: Draft) -> None:
    if key == "torch install path":
        draft.see("torch.file", value.strip("[]'\""), line, rank=6)
    elif key == "torch version":
        torch_seen(value, line, draft)
    elif key == "torch cuda version":
        build_cuda(value, line, draft)
    elif key == "torch hip version" and value[0].isdigit():
        draft.see("torch.hip", value, line, rank=7)
        draft.see("torch.cuda_known", True, line, rank=7)
    elif key == "nvcc version" and re.fullmatch(r"\d{1,2}\.\d{1,2}(?:\.\d{1,4})?", value):
        draft.tools.setdefault("nvcc", Tool(name="nvcc", version=value))


def _xformers(key: str, value: str, line: Line, draft: Draft) -> None:
    """Its `build.` lines are about xformers' own build and tell nothing about this torch."""
    if key == "pytorch.version":
        torch_seen(value, line, draft)
    elif key == "pytorch.cuda" and value in ("available", "not available"):
        draft.see("torch.cuda_available", value == "available", line, rank=7)
    elif key == "gpu.compute_capability" and re.fullmatch(r"\d{1,2}\.\d", value):
        draft.gpu(min(draft.gpus, default=0), line, compute_capability=value)
    elif key == "gpu.name":
        card_seen(value, line, draft)


def torch_seen(version: str, line: Line, draft: Draft) -> None:
    """A report that imported torch tells its version."""
    if re.fullmatch(VERSION, version):
        draft.see("torch.version", version, line, rank=7)
        draft.see("torch.installed", True, line)
        draft.see("torch.imported", True, line)


def build_cuda(value: str, line: Line, draft: Draft) -> None:
    """`torch.version.cuda` as a report prints it; `None` is an answer, too."""
    version = re.fullmatch(r"\d{1,2}\.\d{1,2}(?:\.\d{1,4})?", value)
    if version or value == "None":
        draft.see("torch.cuda", value if version else None, line, rank=7)
        draft.see("torch.cuda_known", True, line, rank=7)
