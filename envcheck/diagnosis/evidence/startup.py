"""What programs print when they start: ComfyUI and its kin, Stable Diffusion web UIs and trainers, Ultralytics."""

import re

from envcheck.diagnosis.evidence.devices import card_seen, is_amd
from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.frameworks import VERSION, build_cuda, torch_seen
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.model.patterns import regex

_VRAM = regex(r"\bTotal VRAM (?P<vram>\d{1,7}) MB, total RAM (?P<ram>\d{1,8}) MB")
_VRAM_BYTES = regex(r"\bVRAM Total:\*{0,2} (?P<bytes>\d{6,14})\b")
_NO_CARD = regex(
    r"\bDevice: (?:cpu|mps|privateuseone|xpu)\b|\bName:\*{0,2} (?:cpu|mps|privateuseone|xpu)\b|\brocm", re.IGNORECASE
)
_DEVICE = regex(
    r"(?:^|\s|\])(?:Device:|- \*{0,2}Name:\*{0,2}) cuda:(?P<index>\d{1,2}) (?P<name>[A-Z][^\n:]{2,60}?)"
    r"(?: : \w{1,40})?\s{0,8}$"
)
_ULTRALYTICS = regex(
    rf"(?:\bPython-(?P<python>3\.[\d.]{{1,8}})\s{{1,4}})?\btorch[- ](?P<torch>{VERSION})"
    r"(?:\s{1,4}(?P<device>CPU|MPS|CUDA:\d)|(?(python)\s{0,4}$|(?!)))"
)
_ULTRALYTICS_CARD = regex(
    r"(?:^\s{0,60}|\s)CUDA:(?P<index>\d{1,2}) \((?P<name>[A-Z][^,\n]{2,60}), (?P<memory>\d{1,6})(?:\.\d{1,6})?Mi?B\)"
)
_CHECKS = regex(
    r"^\s{0,8}(?:GPU\s{3,30}(?P<name>[A-Z][^,\n]{2,60}), (?P<memory>\d{3,7})Mi?B"
    r"|CUDA\s{3,30}(?P<cuda>\d{1,2}\.\d{1,2}|None)|OS\s{3,30}(?P<system>(?P<os>Linux|Windows|macOS)-\S{1,120}))\s{0,8}$"
)
"""The table that `yolo checks` prints."""
_FOOTER = regex(rf"\btorch: (?P<torch>{VERSION})\s{{1,4}}[•|]|[•|]\s{{1,4}}torch: (?P<last>{VERSION})")
_TRAINER = regex(
    r"\bTorch backend: (?:nVidia|NVIDIA) CUDA (?P<cuda>\d{1,2}\.\d{1,2}) cuDNN"
    r"|\bTorch detected GPU: (?P<name>\S.{1,60}?) VRAM (?P<memory>\d{2,7})(?:MB)?"
    r" Arch \(?(?P<major>\d{1,2}), ?(?P<minor>\d)\)?"
    r"|\bDevice: device=(?P<card>[A-Z].{2,60}?) n=\d{1,2} .{0,120}?\bcuda=(?P<build>\d{1,2}\.\d{1,2})"
    r"(?: cudnn=\d{1,6})?(?: driver=(?P<driver>\d{3}\.\d{1,3}(?:\.\d{1,3})?))?"
)
_WARP = regex(
    r"\bcuda:(?P<index>\d{1,2})\W{1,6}(?:(?P<name>[A-Z][\w .-]{2,60})\W{1,4})?"
    r"\((?:\d{1,4} GiB, )?sm_(?P<major>\d{1,2})(?P<minor>\d)\b"
)
"""NVIDIA Warp's list of devices."""
_ON_CARD = regex(r"\bdevice cuda(?::\d)? \((?P<name>NVIDIA [\w .-]{2,50})\)")
_USED = regex(
    r"\b[Uu]sing (?:torch )?device:? (?:cuda(?::\d)? )?\(?"
    r"(?P<name>(?:NVIDIA|GeForce|Tesla|Quadro|AMD) [\w .()-]{2,50}?)\)?\s{0,8}$"
)


def read(page: Page, draft: Draft) -> None:
    """Lines stay messages, and the prefix that a logger put before them does not matter."""
    counted = not draft.gpus
    alone = len(draft.gpus) < 2 and not any(_NO_CARD.search(line.text) for line in page.lines)
    for line in page.lines:
        if len(line.text) < 8 or page.taken(line):
            continue
        _devices(line, draft, counted=counted)
        _ultralytics(line, draft)
        _others(line, draft)
        if alone:
            _memory(line, draft)


def _memory(line: Line, draft: Draft) -> None:
    """ComfyUI's amount is that of the one device that it uses; without a card it prints the machine's memory twice."""
    vram, exact = _VRAM.search(line.text), _VRAM_BYTES.search(line.text)
    amount = int(vram["vram"]) << 20 if vram and vram["vram"] != vram["ram"] else None
    amount = int(exact["bytes"]) if exact else amount
    if amount and amount >> 20 and not draft.best("amd.gpus"):
        draft.gpu(min(draft.gpus, default=0), line, memory_bytes=amount)


def _devices(line: Line, draft: Draft, *, counted: bool) -> None:
    device = _DEVICE.search(line.text)
    if device:
        card_seen(device["name"].strip(), line, draft)
    on_card = _ON_CARD.search(line.text)
    if on_card:
        card_seen(on_card["name"], line, draft)
        draft.see("torch.cuda_available", True, line, rank=2)
    used = _USED.search(line.text)
    if used:
        card_seen(used["name"].strip(), line, draft)
    for card in _ULTRALYTICS_CARD.finditer(line.text):
        draft.see("torch.cuda_available", True, line, rank=3)
        if is_amd(card["name"]):
            card_seen(card["name"], line, draft, index=int(card["index"]))
        else:  # its numbers are CUDA's, which a table before it need not share
            index = int(card["index"]) if counted else None
            card_seen(card["name"], line, draft, index=index, memory_bytes=int(card["memory"]) << 20)


def _ultralytics(line: Line, draft: Draft) -> None:
    checks = _CHECKS.match(line.text)
    if checks and checks["name"]:
        card_seen(checks["name"], line, draft, memory_bytes=int(checks["memory"]) << 20)
    elif checks and checks["cuda"]:
        build_cuda(checks["cuda"], line, draft)
    elif checks:
        draft.see("host.os", checks["os"].casefold(), line, rank=7)
        draft.see("host.os_name", checks["system"], line, rank=5)
    match = _ULTRALYTICS.search(line.text)
    if match is None:
        return
    torch_seen(match["torch"], line, draft)
    draft.see("python.version", match["python"], line, rank=7)
    if (match["device"] or "").startswith("CUDA"):
        draft.see("torch.cuda_available", True, line, rank=3)


def _others(line: Line, draft: Draft) -> None:
    footer = _FOOTER.search(line.text)
    if footer:
        torch_seen(footer["torch"] or footer["last"], line, draft)
    warp = _WARP.search(line.text)
    if warp:
        capability = f"{warp['major']}.{warp['minor']}"
        draft.gpu(int(warp["index"]), line, name=warp["name"], compute_capability=capability)
    trainer = _TRAINER.search(line.text)
    if trainer is None:
        return
    if trainer["cuda"] or trainer["build"]:
        build_cuda(trainer["cuda"] or trainer["build"], line, draft)
    if trainer["driver"]:
        draft.see_many("nvidia.driver_versions", trainer["driver"], line)
    if trainer["card"]:
        card_seen(trainer["card"], line, draft)
    if trainer["name"]:
        capability = f"{trainer['major']}.{trainer['minor']}"
        memory = int(trainer["memory"]) << 20
        card_seen(trainer["name"], line, draft, compute_capability=capability, memory_bytes=memory)
