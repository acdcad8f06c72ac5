"""What other tools than nvidia-smi say of a card and its driver: Windows' own, OpenGL's, gpustat, nvitop; images."""

import re

from envcheck.diagnosis.evidence.devices import amd_seen
from envcheck.diagnosis.evidence.draft import WORDS, Draft
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.model.patterns import regex

_NAME = r"NVIDIA (?:GeForce|Quadro|RTX|GTX|TITAN|Tesla|[ATL]\d{1,4})[A-Za-z0-9 -]{0,40}?"
_CARD = regex(rf"\b(?P<name>{_NAME})(?=\s{{2,}}|\s*$|\s+[23]\d\.\d)")
_WINDOWS_VERSION = regex(r"\b[23]\d\.\d{1,2}\.1(?P<first>\d)\.(?P<middle>\d{2})(?P<last>\d{2})\b")
"""Windows' number of NVIDIA's driver: the last five digits are NVIDIA's own, 31.0.15.3179 is 531.79."""
_CONTROLLERS = regex(r"\bwin32_VideoController\b", re.IGNORECASE)
_OTHER_CARD = regex(r"\b(?:Intel|AMD|Radeon|Microsoft Basic|Parsec|Virtual)\b", re.IGNORECASE)
_WINDOWS = regex(
    r"^\s{0,8}OS Name:\s{1,40}Microsoft Windows\b|^\s{0,8}(?:OS Version|系统版本|OS 版本):\s{1,40}10\.0\.\d{5}"
)
_RENDERER = regex(r"^\s{0,8}OpenGL renderer string: (?P<name>(?:NVIDIA |GeForce |Quadro |Tesla )[^/\n]{2,60})")
_RENDERED = regex(
    r"^\s{0,8}OpenGL (?:core profile )?version string: [\d.]{2,8} NVIDIA (?P<version>\d{3}\.\d[\d.]{1,8})"
)
_INXI = regex(
    r"\bDevice-\d{1,2}: NVIDIA \w{2,10} \[(?P<name>[^\]\n]{3,60})\].{0,80}?\bdriver: nvidia"
    r" v: (?P<version>\d{3}\.\d{1,3}(?:\.\d{1,3})?)"
)
_INXI_AMD = regex(r"\bDevice-\d{1,2}: (?:AMD|Advanced Micro Devices)\b[^\[\n]{0,60}\[(?P<name>Radeon [^\]/\n]{2,40})")
_IMAGE = regex(
    r"\bpytorch/pytorch:(?P<torch>\d\.\d{1,2}(?:\.\d{1,2})?)-cuda(?P<cuda>\d{1,2}\.\d{1,2})(?:\.\d{1,3})?-cudnn\d"
)
_GPUSTAT = regex(r"^\s{0,8}\[(?P<index>\d{1,2})\] (?P<name>[A-Z][\w .()-]{3,60}?)\s{0,12}\| +\d{1,3}['°]")
_GPUSTAT_HEAD = regex(
    r"^\s{0,8}\S{1,64}\s{1,30}\S.{4,30}\d:\d\d:\d\d.{1,12}\s(?P<version>\d{3}\.\d{1,3}(?:\.\d{1,3})?)\s*$"
)
_NVITOP = regex(
    r"\bNVITOP [\d.]{3,10}\s{1,30}Driver Version: (?P<version>\d{3}\.[\d.]{2,8})"
    r"(?:\s{1,30}CUDA Driver Version: (?P<cuda>\d{1,2}\.\d))?"
)
_NODE_LABEL = regex(
    r"\bnvidia\.com/(?P<key>gpu\.compute\.major|gpu\.compute\.minor|gpu\.product|cuda\.driver-version\.full"
    r"|cuda\.driver\.major|cuda\.driver\.minor|cuda\.driver\.rev)\"?\s{0,2}[:=]\s{0,2}"
    r"\"?(?P<value>[\w.-]{1,60})"
)
"""What NVIDIA's feature discovery writes on a node of Kubernetes."""
_NAMED_IMAGE = regex(r"\b[Ii]mage:\s{1,20}\S{0,120}torch-?(?P<torch>\d\.\d{1,2}\.\d{1,2})-cu(?:da)?(?P<cuda>\d{2,3})\b")
_NEAR = 15


def read(page: Page, draft: Draft) -> None:
    """Lines stay messages."""
    images: dict[str, tuple[str, str, Line]] = {}
    labels: dict[str, str] = {}
    card: tuple[int, str] | None = None
    asked: int | None = None
    for at, line in enumerate(page.lines):
        if len(line.text) < 8 or page.taken(line):
            continue
        _tools(line, draft)
        for label in _NODE_LABEL.finditer(line.text) if "nvidia.com/" in line.text else ():
            labels[label["key"]] = label["value"]
            _labelled(labels, line, draft)
        if _WINDOWS.match(line.text):
            draft.see("host.os", "windows", line, rank=6)
        asked = at if _CONTROLLERS.search(line.text) else asked
        named = _CARD.search(line.text)
        other = None if named else _OTHER_CARD.search(line.text)
        if named or other:
            card = (at, named["name"].strip() if named else "")
        number = _WINDOWS_VERSION.search(line.text)
        if named and asked is not None and at - asked <= _NEAR:
            draft.gpu_named(named["name"].strip(), line)
        if number and card and card[1] and at - card[0] <= _NEAR:
            draft.see_many("nvidia.driver_versions", f"{number['first']}{number['middle']}.{number['last']}", line)
            draft.see("host.os", "windows", line, rank=3)
            if not draft.gpus:
                draft.gpu_named(card[1], line)
        image = _IMAGE.search(line.text)
        if image:
            images.setdefault(image[0], (image["torch"], image["cuda"], line))
        named_image = _NAMED_IMAGE.search(line.text) if "mage:" in line.text else None
        if named_image:
            digits = named_image["cuda"]
            images.setdefault(named_image[0], (named_image["torch"], f"{digits[:-1]}.{digits[-1]}", line))
    if len(images) == 1:
        _image(*next(iter(images.values())), draft)


def _labelled(labels: dict[str, str], line: Line, draft: Draft) -> None:
    """A node's labels: they describe the GPU, and say nothing of whether the driver answers in a container."""
    driver = labels.pop("cuda.driver-version.full", None)
    if driver:
        draft.see_many("nvidia.driver_versions", driver, line)
    parts = [labels.get(f"cuda.driver.{part}") for part in ("major", "minor", "rev")]
    if all(parts):
        draft.see_many("nvidia.driver_versions", ".".join(map(str, parts)), line)
    product = labels.pop("gpu.product", None)
    if product:
        draft.gpu(0, line, name=product.replace("-", " "))
    if {"gpu.compute.major", "gpu.compute.minor"} <= labels.keys():
        draft.gpu(0, line, compute_capability=f"{labels['gpu.compute.major']}.{labels['gpu.compute.minor']}")
    if 0 in draft.gpus:
        draft.gpus[0]["look"] = WORDS


_DRIVER_FIELD = regex(r"\bdriver_version\W{1,6}(?P<version>\d{3}\.\d{1,3}(?:\.\d{1,3})?)\b")
"""Fingerprints of nodes and labels of metrics."""


def _tools(line: Line, draft: Draft) -> None:
    field = _DRIVER_FIELD.search(line.text) if "driver_version" in line.text else None
    if field:
        draft.see_many("nvidia.driver_versions", field["version"], line)
    nvitop = _NVITOP.search(line.text)
    head = nvitop or _GPUSTAT_HEAD.match(line.text)
    if head:
        draft.see_many("nvidia.driver_versions", head["version"], line)
    if nvitop and nvitop["cuda"]:
        draft.see_many("nvidia.cuda_versions", nvitop["cuda"], line)
    row = _GPUSTAT.match(line.text)
    if row:
        draft.gpu(int(row["index"]), line, name=row["name"])
    radeon = _INXI_AMD.search(line.text) if "Device-" in line.text else None
    if radeon:
        amd_seen(f"AMD {radeon['name']}", line, draft)
    inxi = _INXI.search(line.text)
    renderer = inxi or _RENDERER.match(line.text)
    if renderer and not draft.gpus:
        draft.gpu_named(renderer["name"].strip(), line)
    version = inxi or _RENDERED.match(line.text)
    if version:
        draft.see_many("nvidia.driver_versions", version["version"], line)


def _image(torch: str, cuda: str, line: Line, draft: Draft) -> None:
    """The tag of an official image names torch and its CUDA; a report from inside weighs more."""
    draft.see("torch.version", torch if torch.count(".") > 1 else f"{torch}.0", line, rank=1)
    draft.see("torch.installed", True, line, rank=1)
    draft.see("torch.cuda", cuda, line, rank=1)
    draft.see("torch.cuda_known", True, line, rank=1)
