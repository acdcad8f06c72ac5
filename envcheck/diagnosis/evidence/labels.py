"""Lines of the form `label: value` in the reports of other programs, whatever marks stand around the label.

fastai, Lightning, DeepSpeed, xFormers, SGLang, diffusers, docTR, deviceQuery, nvidia-container-cli, jetson_release and
the start-up lines of ComfyUI and Ultralytics. A label tells the same in all of them; what has a reader of its own
ranks higher.
"""

import re
from collections.abc import Callable

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.model.facts import Tool
from envcheck.model.patterns import regex

_PAIR = regex(
    r"^[\s*•·-]{0,24}(?:\[[ x]\]\s)?`?(?P<label>[A-Za-z][\w ./()?-]{1,50}?)`?\s{0,40}(?::|\.{3,60})"
    r"\s{1,60}(?P<value>\S.{0,160}?)\s*$"
)
_VERSION = regex(r"(?P<version>\d{1,2}\.\d{1,2}(?:\.\d{1,3})?[\w.+]{0,24})")
_MEMORY = regex(r"\b(?P<number>\d{3,6})\s?(?:MiB|MB|MBytes)\b")
_DEVICE_QUERY = regex(r"^\s{0,4}Device (?P<index>\d{1,2}): \"(?P<name>[^\"\n]{3,60})\"\s*$")
_DRIVER_AND_RUNTIME = regex(
    r"^\s{0,6}CUDA Driver Version / Runtime Version\s{1,20}(?P<driver>\d{1,2}\.\d)\s?/\s?(?P<runtime>\d{1,2}\.\d)"
)
_ULTRALYTICS = regex(
    r"\bCUDA:(?P<index>\d{1,2}) \((?P<name>[^,()\n]{3,60}), (?P<memory>\d{3,6})(?:\.\d+)?\s?M(?:iB|B)\)"
)
_YOLOV5 = regex(r"\bCUDA:(?P<index>\d{1,2}) \(name='(?P<name>[^'\n]{3,60})', total_memory=(?P<memory>\d{3,6})MB\)")
_VRAM = regex(r"^(?:.{0,40}\s)?Total VRAM (?P<memory>\d{3,7}) MB\b")
_LISTED = regex(r"^\s{2,40}(?:- )?(?P<name>(?:NVIDIA |Tesla |GeForce |Quadro |TITAN )[\w -]{2,50}?)\s*$")


def read(page: Page, draft: Draft) -> None:
    """Each line on its own, but for Lightning's list of GPUs below `GPU:`."""
    in_list = False
    for line in page.lines:
        if len(line.text) < 6 or page.taken(line):
            in_list = False
            continue
        listed = _LISTED.match(line.text) if in_list else None
        if listed:
            draft.gpu(max(draft.gpus, default=-1) + 1, line, name=listed["name"])
            continue
        in_list = bool(re.match(r"^\s{1,24}(?:- )?GPU:\s*$", line.text)) and not draft.gpus
        _whole_lines(line, draft)
        pair = _PAIR.match(line.text)
        if pair:
            tell = _LABELS.get(" ".join(pair["label"].casefold().split()))
            if tell is not None:
                tell(pair["value"], line, draft)


def _whole_lines(line: Line, draft: Draft) -> None:
    device = _DEVICE_QUERY.match(line.text)
    if device:
        draft.gpu(int(device["index"]), line, name=device["name"])
    versions = _DRIVER_AND_RUNTIME.match(line.text)
    if versions:
        draft.see_many("nvidia.cuda_versions", versions["driver"], line)
    named = _ULTRALYTICS.search(line.text) or _YOLOV5.search(line.text)
    if named:
        draft.gpu(int(named["index"]), line, name=named["name"], memory_bytes=int(named["memory"]) << 20)
    vram = _VRAM.match(line.text)
    if vram and len(draft.gpus) == 1:  # of several it is not known whose it is
        draft.gpu(next(iter(draft.gpus)), line, memory_bytes=int(vram["memory"]) << 20)


def _torch(value: str, line: Line, draft: Draft) -> None:
    version = _VERSION.match(value)
    if version:
        draft.see("torch.version", version["version"], line, rank=4)
        draft.see("torch.installed", True, line, rank=4)


def _torch_cuda(value: str, line: Line, draft: Draft) -> None:
    version = _VERSION.match(value)
    if version:
        draft.see("torch.cuda", version["version"], line, rank=5)
        draft.see("torch.cuda_known", True, line, rank=5)
    if "is available" in value:
        draft.see("torch.cuda_available", True, line, rank=5)
    elif "not available" in value:
        draft.see("torch.cuda_available", False, line, rank=5)


def _available(value: str, line: Line, draft: Draft) -> None:
    answer = {"true": True, "yes": True, "available": True, "false": False, "no": False, "not": False}
    known = answer.get(value.split(maxsplit=1)[0].casefold().strip(".,"))
    if known is not None:
        draft.see("torch.cuda_available", known, line, rank=5)


def _driver(value: str, line: Line, draft: Draft) -> None:
    version = re.match(r"\d{3}\.\d{1,3}(?:\.\d{1,3})?\b", value)
    if version:
        draft.see_many("nvidia.driver_versions", version[0], line)


def _gpu(value: str, line: Line, draft: Draft) -> None:
    name = re.match(r"(?:NVIDIA (?!Jetson)|Tesla |GeForce |Quadro |TITAN |GRID )[\w -]{1,50}", value)
    if name is None:
        return
    memory = _MEMORY.search(value)
    draft.gpu_named(name[0].strip(), line, memory_bytes=int(memory["number"]) << 20 if memory else None)


def _numbered_gpu(value: str, line: Line, draft: Draft) -> None:
    """`gpu0 : 11177MB | GeForce GTX 1080 Ti`."""
    memory, _, name = value.partition("|")
    size = _MEMORY.search(memory)
    if size and name.strip():
        draft.gpu_named(name.strip(), line, memory_bytes=int(size["number"]) << 20)


def _capability(value: str, line: Line, draft: Draft) -> None:
    number = re.match(r"\d{1,2}\.\d\b", value)
    if number and len(draft.gpus) == 1:
        draft.gpu(next(iter(draft.gpus)), line, compute_capability=number[0])


def _memory(value: str, line: Line, draft: Draft) -> None:
    size = _MEMORY.match(value)
    if size and draft.gpus:
        draft.gpu(max(draft.gpus), line, memory_bytes=int(size["number"]) << 20)


def _system(value: str, line: Line, draft: Draft) -> None:
    draft.see("host.os_name", value, line, rank=3)
    draft.see("host.os", "linux", line, rank=2)


def _nvcc(value: str, _line: Line, draft: Draft) -> None:
    version = re.match(r"\d{1,2}\.\d{1,2}(?:\.\d{1,3})?\b", value)
    if version:
        draft.tools.setdefault("nvcc", Tool(name="nvcc", version=version[0]))


_LABELS: dict[str, Callable[[str, Line, Draft], None]] = {
    **dict.fromkeys(
        ("torch", "pytorch", "torch version", "pytorch version", "pytorch_version", "pytorch.version"), _torch
    ),
    **dict.fromkeys(("torch cuda", "torch cuda version", "pytorch cuda version", "torch.version.cuda"), _torch_cuda),
    **dict.fromkeys(
        ("is cuda available (pytorch)", "pytorch.cuda", "cuda available", "gpu available", "cuda is available"),
        _available,
    ),
    **dict.fromkeys(("cuda driver version", "nvidia driver", "nvidia driver version", "nvrm version"), _driver),
    **dict.fromkeys(("gpu.name", "model", "accelerator", "gpu", "gpu name", "gpu model"), _gpu),
    **dict.fromkeys((f"gpu{number}" for number in range(16)), _numbered_gpu),
    **dict.fromkeys(
        ("gpu.compute_capability", "cuda capability major/minor version number", "architecture"), _capability
    ),
    "total amount of global memory": _memory,
    **dict.fromkeys(("distro", "distribution"), _system),
    "nvcc version": _nvcc,
}
