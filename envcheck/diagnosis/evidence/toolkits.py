"""CUDA's toolkit told by something else than nvcc: deviceQuery, jetson-stats, torch's complaint about a mismatch."""

import re

from envcheck.diagnosis.evidence.draft import Draft, same_gpu
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.model.facts import Tool
from envcheck.model.patterns import regex

_DEVICE = regex(r"^\s{0,8}Device (?P<index>\d{1,2}): \"(?P<name>[^\"\n]{2,80})\"\s{0,8}$")
_VERSIONS = regex(
    r"\bCUDA Driver Version(?: / Runtime Version\s{1,20}| = )(?P<driver>\d{1,2}\.\d{1,2})"
    r"(?: / |, CUDA Runtime Version = )(?P<runtime>\d{1,2}\.\d{1,2})"
)
_CAPABILITY = regex(r"^\s{0,8}CUDA Capability Major/Minor version number:\s{1,20}(?P<value>\d{1,2}\.\d)\b")
_MEMORY = regex(
    r"^\s{0,8}Total amount of global memory:\s{1,20}(?P<mib>\d{1,9}) MBytes(?: \((?P<bytes>\d{1,15}) bytes\))?"
)
_JETSON_CUDA = regex(r"^\s{0,8}(?:[-*]\s{1,3})?CUDA:\s{1,20}(?P<version>\d{1,2}\.\d{1,2}(?:\.\d{1,4})?)\s{0,8}$")
_JETSON_OTHER = regex(r"^\s{0,8}(?:[-*]\s{1,3})?(?:TensorRT|VPI|VisionWorks|Vulkan):\s")
_NEAR = 8
_MISMATCH = regex(
    r"The detected CUDA version \((?P<nvcc>\d{1,2}\.\d{1,2})[^)\n]{0,12}\) mismatches the version that was used"
)
_COMPILED = regex(r"\bPyTorch \((?P<cuda>\d{1,2}\.\d{1,2})\)")


def read(page: Page, draft: Draft) -> None:
    """Lines stay messages."""
    counted, current = not draft.gpus, -1
    for position, line in enumerate(page.lines):
        if len(line.text) < 6 or page.taken(line):
            continue
        device = _DEVICE.match(line.text)
        if device:
            current = _device(int(device["index"]), device["name"], counted, line, draft)
        versions = _VERSIONS.search(line.text)
        if versions:
            draft.see_many("nvidia.cuda_versions", versions["driver"], line)
            _toolkit(versions["runtime"], draft)
        if current >= 0:
            _properties(current, line, draft)
        jetson = _JETSON_CUDA.match(line.text)
        around = page.lines[max(position - _NEAR, 0) : position + _NEAR]
        if jetson and any(_JETSON_OTHER.match(other.text) for other in around):
            _toolkit(jetson["version"], draft)
        _mismatch(position, page, draft)


def _toolkit(version: str, draft: Draft) -> None:
    draft.tools.setdefault("cuda-toolkit", Tool(name="cuda-toolkit", version=version))


def _device(index: int, name: str, counted: bool, line: Line, draft: Draft) -> int:
    """The row of CUDA's device `index`: a table above counts in another order, there the name decides."""
    if counted:
        draft.gpu(index, line, name=name)
        return index
    draft.gpu_named(name, line)
    return next((row for row, gpu in draft.gpus.items() if same_gpu(gpu.get("name"), name)), -1)


def _properties(index: int, line: Line, draft: Draft) -> None:
    capability = _CAPABILITY.match(line.text)
    if capability:
        draft.gpu(index, line, compute_capability=capability["value"])
    memory = _MEMORY.match(line.text)
    if memory:
        draft.gpu(index, line, memory_bytes=int(memory["bytes"] or int(memory["mib"]) << 20))


def _mismatch(position: int, page: Page, draft: Draft) -> None:
    """torch.utils.cpp_extension names nvcc's version and, one or two lines on, torch's."""
    line = page.lines[position]
    told = _MISMATCH.search(line.text)
    if told is None:
        return
    draft.tools.setdefault("nvcc", Tool(name="nvcc", version=told["nvcc"]))
    compiled = _COMPILED.search(re.sub(r"\s+", " ", " ".join(one.text for one in page.lines[position : position + 3])))
    if compiled:
        draft.see("torch.cuda", compiled["cuda"], line, rank=6)
        draft.see("torch.cuda_known", True, line, rank=6)
