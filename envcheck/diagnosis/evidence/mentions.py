"""Versions of torch, Python and the driver, and cards, that are only mentioned: in lists, in one-line answers.

Such words weigh less than a report's own lines: their ranks are low, and a card that a report lists stands.
"""

import re

from envcheck.diagnosis.evidence.devices import amd_seen
from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page, command_of
from envcheck.model.patterns import regex

_DRIVER_TOLD = regex(
    r"^\W{0,8}(?:NVIDIA[ _-])?(?:GPU[ _-])?(?:Driver|KMD|驱动)(?:[ _-]?version|版本)?\W{1,4}"
    r"(?P<version>\d{3}\.\d{2,3}(?:\.\d{1,3})?)(?:\W{1,5}(?:and )?CUDA\b.{0,30})?\W{0,4}$",
    re.IGNORECASE,
)
_CAPABILITY = regex(
    r"(?:capability|\barch(?:itecture)?|架构|算力|计算能力|\bSM|compute cap\w*)\W{1,6}"
    r"\((?P<major>\d{1,2}), ?(?P<minor>\d)\)"
    r"|^\W{0,6}(?:GPU )?(?:compute capability|计算能力|算力)\W{1,4}(?:sm_)?(?P<whole>\d{1,2}\.\d)\W{0,3}$",
    re.IGNORECASE,
)
_CUDA_DEVICE = regex(
    r"^\s{0,8}Device (?P<index>\d{1,2}): (?P<name>[A-Z][\w .()-]{2,60}?), compute capability (?P<cc>\d{1,2}\.\d)\b"
)
_ROCM = regex(r"(?<![+/\w.-])rocm[ /-]?v?(?P<version>\d(?:\.\d{1,2}){0,2})\b", re.IGNORECASE)
_AMD = regex(
    r"(?:\bGPU|\bDevice|\bgraphics|\bcard|显卡|Marketing Name)\b[^:\n]{0,40}:\s{0,3}"
    r"(?P<name>(?:AMD|Radeon|RX|Vega|Instinct)\s[\w ()-]{2,40}?)\s{0,3}$",
    re.IGNORECASE,
)
_LABEL = r"^\W{0,8}(?:my |the )?"
_TORCH_BUILD = regex(
    r"(?<![A-Za-z0-9_])(?:py)?torch(?:\s?(?:version|版本))?(?:\s?(?:is|to|为|是))?[\s:：=v(]{1,4}(?P<version>\d{1,2}\.\d{1,2}\.\d{1,2}(?:\.?(?:dev|post|rc|a)\d+)?"
    r"\+(?:cu\d{2,3}|cpu|rocm[\d.]+\d|xpu))\b",
    re.IGNORECASE,
)
_TORCH_LABEL = regex(
    _LABEL + r"(?:py)?torch(?:[\s_]*version|版本)?\s?[ :：=]{1,3}\s?v?(?P<version>\d{1,2}\.\d{1,2}\.\d{1,2}(?:\+\w+)?)"
    r"(?P<rest>.{0,40})$",
    re.IGNORECASE,
)
_BUILT_WITH = regex(
    r"^\W{0,4}(?:with |for )?(?:CUDA[ :=]{0,2}(?P<cuda>\d{1,2}\.\d)|cu(?P<tag>\d{2,3}))\b", re.IGNORECASE
)
_PYTHON_LABEL = regex(
    _LABEL + r"python(?:[\s_]*version|版本)?\s?[ :：=]{1,3}\s?(?P<version>3\.\d{1,2}(?:\.\d{1,2})?)\b", re.IGNORECASE
)
_CARD = (
    r"(?:NVIDIA\s)?(?:(?:GeForce\s)?(?:RTX|GTX)\s?(?:A?\d{3,4})(?:\s?(?:Ti|SUPER|Ti SUPER|D|Ada)\b)?"
    r"(?:\sLaptop GPU|\sMax-Q)?"
    r"|RTX\sPRO\s\d{4}(?:\sBlackwell)?(?:\s(?:Max-Q\s)?(?:Workstation|Server)(?:\sEdition)?)?|G[BH]\d{2,3}"
    r"|GeForce\s(?:GT|MX|GTX)?\s?\d{3,4}M?X?|TITAN\s\w{1,6}|Tesla\s[A-Z]\d{1,3}[\w-]{0,12}|Quadro\s[\w ]{2,12}"
    r"|[ABHL]\d{2,3}[SX]?(?:[ -](?:SXM\d?|PCIE|PCIe|NVL))?(?:[ -]\d{2,3}GB)?)"
)
_CARD_LABEL = regex(
    _LABEL + r"(?:(?:GPU|model|product|graphics(?:\scard)?|video card|device|显卡|card)(?:\s(?:type|name|model|型号))?"
    r"(?:\s?\d{1,2})?"
    r"(?:\s?[:：=]\s?|\s{1,8}))?"
    rf"(?P<name>{_CARD})\W{{0,3}}(?:\(?\d{{1,3}}\s?GB\)?(?:\sVRAM)?)?\W{{0,3}}$",
    re.IGNORECASE,
)
_ROCM_SMI = regex(r"\bROCm System Management Interface\b|^\s{0,8}KFD_ID: \d{1,8}\s*$")
"""The head of rocm-smi's table, and a row of amd-smi list."""
_RADEON = regex(
    r"^\W{0,8}(?:(?:OK|\d{1,2}\.[\d.]{5,16})\s{1,20})?(?:GPU|graphics(?:\scard)?|device|显卡)?(?:\s?\d{1,2})?\s{0,8}[:：=]?\s{0,8}(?P<name>(?:AMD\s)?Radeon\s(?:\(TM\)\s)?(?:RX|Pro|VII|Instinct|HD|R[579X])"
    r"[\w ]{0,24}|AMD Instinct \w{2,8})(?:\s(?P<gfx>gfx[0-9a-f]{3,4}))?(?:\W{1,3}\d{1,3}\s?GB(?:\sVRAM)?)?\W*$",
    re.IGNORECASE,
)
_AMD_WORDS = ("amd", "radeon", "rx", "vega", "instinct", "rocm", "kfd_id")
_TORCH_HEAD = regex(r"^\s{0,4}torch-(?P<version>\d{1,2}\.\d{1,2}\.\d{1,2}(?:a0)?(?:\+\w{1,40})?)\s*$")
_TORCH_BARE = regex(
    r"^\W{0,8}(?P<version>[12]\.\d{1,2}\.\d{1,2}(?:\.(?:dev|post)\d+)?\+(?:cu\d{2,3}|cpu|rocm[\d.]+\d|xpu))\W{0,4}$"
)
_PRINTED_ANSWER = regex(
    r"^\s{0,4}\(?['\"]?(?:(?:py)?torch(?: version)?\s?[ :=]{1,3})?"
    r"(?P<version>\d{1,2}\.\d{1,2}\.\d{1,2}(?:\+\w{2,12})?)['\"]?"
    r"(?:[ ,|/]{1,4}(?:cuda(?: version)?[ :=]{1,3})?['\"]?(?P<cuda>\d{1,2}\.\d{1,2}(?:\.\d{3,4})?|None)['\"]?)?"
    r"[ ,|/]{1,4}(?:(?:cuda|gpu)?[ _.]?(?:is_)?(?:avail(?:able)?)?[ :=?]{1,3})?(?P<answer>True|False)\)?\s{0,4}$",
    re.IGNORECASE,
)
"""What a program printed of torch: its version, its CUDA, and whether CUDA is available."""
_VERSIONS = regex(
    r"^\s{0,4}\('(?P<version>\d{1,2}\.\d{1,2}\.\d{1,2}(?:\.post\d{1,2})?(?:\+\w{2,12})?)',"
    r" '(?P<cuda>\d{1,2}\.\d{1,2}(?:\.\d{1,4})?)'"
    r"(?:, \d{4,6})?\)\s{0,4}$"
)
"""torch.__version__, torch.version.cuda and perhaps cuDNN's number, asked at once."""
_ASKED = regex(r"requirement|No matching|you have torch|Requires|satisf|index-url|collecting|==", re.IGNORECASE)


def read(page: Page, draft: Draft) -> None:
    """Lines that no reader took and that nobody typed as a command."""
    small = page.text.casefold()
    amd = any(word in small for word in _AMD_WORDS)
    for line in page.lines:
        if len(line.text) < 3 or page.taken(line) or page.denied(line) or command_of(line.text) is not None:
            continue
        _mentioned(line, draft)
        if amd:
            _radeon(line, draft)


def _printed(line: Line, draft: Draft) -> None:
    """What a program printed of torch in one line."""
    versions = _VERSIONS.match(line.text)
    if versions:
        draft.see("torch.version", versions["version"], line, rank=3)
        draft.see("torch.installed", True, line)
        draft.see("torch.imported", True, line)
        draft.see("torch.cuda", versions["cuda"], line, rank=4)
        draft.see("torch.cuda_known", True, line, rank=4)
    printed = _PRINTED_ANSWER.match(line.text)
    if printed:
        draft.see("torch.version", printed["version"], line, rank=4)
        draft.see("torch.installed", True, line)
        draft.see("torch.imported", True, line)
        draft.see("torch.cuda_available", printed["answer"].casefold() == "true", line, rank=5)
        if printed["cuda"]:
            draft.see("torch.cuda", None if printed["cuda"].casefold() == "none" else printed["cuda"], line, rank=5)
            draft.see("torch.cuda_known", True, line, rank=5)


def _mentioned(line: Line, draft: Draft) -> None:
    """Versions and cards in words of one's own: only where the line says little else."""
    text = line.text
    _printed(line, draft)
    build = _TORCH_BUILD.search(text) or _TORCH_BARE.match(text)
    build = None if build and _ASKED.search(text) else build or _TORCH_HEAD.match(text)
    label = None if build else _TORCH_LABEL.match(text)
    if build or label:
        draft.see("torch.version", (build or label)["version"], line, rank=2)  # type: ignore[index]
        draft.see("torch.installed", True, line, rank=2)
    cuda = _BUILT_WITH.search(label["rest"]) if label else None
    if cuda and not re.search(r"\b(?:driver|toolkit|nvcc|system)\b", text, re.IGNORECASE):
        draft.see("torch.cuda", cuda["cuda"] or f"{cuda['tag'][:-1]}.{cuda['tag'][-1]}", line, rank=2)
        draft.see("torch.cuda_known", True, line, rank=2)
    if label and re.search(r"\bcpu\b", label["rest"], re.IGNORECASE):
        draft.see("torch.variant", "cpu", line, rank=2)
        draft.see("torch.cuda_known", True, line, rank=2)
    python = _PYTHON_LABEL.match(text)
    if python:
        draft.see("python.version", python["version"], line, rank=2)
    card = _CARD_LABEL.match(text)
    if card and not draft.gpus:
        draft.gpu_told(" ".join(card["name"].split()), line)
    driver = _DRIVER_TOLD.match(text)
    if driver and not draft.seen_many("nvidia.driver_versions"):
        draft.see_many("nvidia.driver_versions", driver["version"], line)
    rocm = _ROCM.search(text)
    if rocm:
        draft.see("amd.rocm_version", rocm["version"], line, rank=1)
    device = _CUDA_DEVICE.match(text)
    if device:
        draft.gpu(int(device["index"]), line, name=device["name"], compute_capability=device["cc"])
    capability = _CAPABILITY.search(text) if len(draft.gpus) < 2 else None
    if capability:
        known = capability["whole"] or f"{capability['major']}.{capability['minor']}"
        draft.gpu(min(draft.gpus, default=0), line, compute_capability=known)


def _radeon(line: Line, draft: Draft) -> None:
    """A card of AMD's that a line is about."""
    if draft.best("amd.gpus"):
        return
    if _ROCM_SMI.search(line.text):
        amd_seen("AMD GPU", line, draft)
        return
    radeon = _RADEON.match(line.text) or _AMD.search(line.text)
    if radeon:
        amd_seen(f"{radeon['name']} {radeon.groupdict().get('gfx') or ''}", line, draft)
