"""nvidia-smi's table of every age, `-L`, and what it says when it fails."""

import re

from envcheck.diagnosis.evidence.draft import LOOK, Draft
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.model.facts import ApiStatus
from envcheck.model.patterns import regex

NUMBER = r"\d{3}\.\d+(?:\.\d+)*"
_HEADER = regex(
    rf"NVIDIA-SMI\s+(?P<smi>{NUMBER}|\S+?),?\s+(?:(?:Driver|KMD)\s+Version\s*:\s*(?P<driver>{NUMBER}|\S+?)),?"
    r"(?:\s+CUDA(?:\s+UMD)?\s+Version\s*:\s*(?P<cuda>\d+\.\d+|\S+))?"
)
_STATE = r"(?:On|Off|N/A|WDDM(?:-GPU)?|TCC|MCDM|ERR!|Enabled|Disabled|\[N/A\])"
_ROW = regex(
    rf"^\s*\|\s*(?:(?P<index>\d{{1,3}})\s+(?P<name>\S.*?)\s+(?P<mode>{_STATE})"
    r"|(?P<number>\d{1,3})\.\s+(?P<old>\S.{0,40}?))\s*\|"  # before 2013: no mode, a point behind the number
    r"\s*(?P<bus>[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d|N/A|ERR!)\s+\S+\s*\|"
)
_ROW_CUT = regex(
    rf"^\s*\|\s*(?P<index>\d{{1,3}})\s+(?P<name>[A-Z]\S.{{0,40}}?)\s+(?P<mode>{_STATE})\s*(?:\|\s*[0-9A-Fa-f:.]{{0,16}})?\s*$"
)
"""A row at which the paste ends."""
_MEMORY = regex(r"\|\s*(?:\d{1,3}%\s+)?(?P<used>\d+)\s*Mi?B\s*/\s*(?P<total>\d+)\s*Mi?B\s*\|(?P<rest>.*)$")
_COMPUTE = regex(r"(?P<mode>Default|E\. ?Process|E\. ?Thread|Prohibited)\s*\|")
_MIG_MODE = regex(r"^\s*\|\s*\|\s*\|\s*(?P<mig>Enabled|Disabled)\*?\s*\|\s*$")
_LIST = regex(
    r"^\s*GPU (?P<index>\d{1,3}): (?P<name>.+?)\s*\((?:UUID: )?(?P<uuid>GPU-[0-9a-fA-F-]{8,36}|\.{3})(?:\)|\s{0,8}$)"
)
_MIG_LIST = regex(r"^\s+MIG (?P<profile>\S+)\s+Device\s+\d+: \(UUID: (?P<uuid>MIG-[^)]{8,80})\)")
_COMPUTE_MODES = {"Default": "default", "E.Process": "exclusive_process", "E.Thread": "exclusive_thread",
                  "Prohibited": "prohibited"}  # fmt: skip
_NVML_WORDS = (
    ("driver/library version mismatch", 18, "LIB_RM_VERSION_MISMATCH"),
    ("driver not loaded", 9, "DRIVER_NOT_LOADED"),
    ("couldn't communicate with the nvidia driver", 9, "DRIVER_NOT_LOADED"),
    ("insufficient permissions", 4, "NO_PERMISSION"),
    ("gpu is lost", 15, "GPU_IS_LOST"),
    ("unknown error", 999, "UNKNOWN"),
)
_NVML = regex(
    r"Failed to initialize NVML: (?P<text>[^\n|]{1,80})|NVIDIA-SMI has failed because it couldn.t communicate"
)


def read(page: Page, draft: Draft) -> None:
    """All forms; a line that is none of them is left alone."""
    current: int | None = None
    for line in page.lines:
        header = _HEADER.search(line.text)
        if header:
            _header(header, line, draft)
            page.take(line)
            current = None
            continue
        current = _table(line, current, page, draft)
        _list(line, page, draft)
        _failure(line, draft)


def _header(match: re.Match[str], line: Line, draft: Draft) -> None:
    draft.smi_ran = True
    if re.fullmatch(NUMBER, match["driver"] or ""):
        draft.see_many("nvidia.driver_versions", match["driver"], line)
        if re.fullmatch(NUMBER, match["smi"]) and match["smi"].split(".")[:2] != match["driver"].split(".")[:2]:
            draft.see("host.wsl", True, line)  # only there nvidia-smi is of another release than the driver
            draft.see("host.os", "linux", line, rank=5)
    cuda = match["cuda"] or ""
    if re.fullmatch(r"\d+\.\d+", cuda):
        draft.see_many("nvidia.cuda_versions", cuda, line)
    elif cuda.startswith("ERR"):
        draft.statuses.append(
            ApiStatus(api="cuda", call="nvidia-smi", code=999, name="ERR!", text=line.text.strip(), look=LOOK)
        )


def _table(line: Line, current: int | None, page: Page, draft: Draft) -> int | None:
    """One line of the table; returns the GPU that the following lines belong to."""
    row = _ROW.match(line.text)
    if row:
        index, told = int(row["index"] or row["number"]), row["name"] or row["old"]
        name = told if told != "ERR!" else None
        bus = row["bus"].lower() if ":" in row["bus"] else None
        draft.gpu(index, line, name=name, pci_address=bus, error=None if bus and name else "UNKNOWN")
        page.take(line)
        return index
    cut = _ROW_CUT.match(line.text) if draft.smi_ran else None
    if cut:
        draft.gpu(int(cut["index"]), line, name=cut["name"])
        return int(cut["index"])
    if current is None or not line.text.lstrip().startswith("|"):
        return (
            current
            if line.text.lstrip().startswith(("|", "+")) and current is not None and "===" not in line.text
            else None
        )
    memory = _MEMORY.search(line.text)
    if memory:
        mode = _COMPUTE.search(memory["rest"])
        draft.gpu(
            current,
            line,
            memory_bytes=int(memory["total"]) << 20,
            memory_free_bytes=(int(memory["total"]) - int(memory["used"])) << 20,
            compute_mode=_COMPUTE_MODES[mode["mode"].replace(" ", "")] if mode else None,
        )
        page.take(line)
        return current
    mig = _MIG_MODE.match(line.text)
    if mig:
        draft.gpu(current, line, mig_enabled=mig["mig"] == "Enabled")
        page.take(line)
    return current


def _list(line: Line, page: Page, draft: Draft) -> None:
    match = _LIST.match(line.text)
    if match:
        uuid = match["uuid"] if match["uuid"].startswith("GPU-") else None
        draft.gpu(int(match["index"]), line, name=match["name"], uuid=uuid)
        page.take(line)
        return
    mig = _MIG_LIST.match(line.text)
    if mig and draft.gpus:
        index = max(draft.gpus)
        row = draft.gpus[index]
        row["mig_enabled"] = True
        row["mig_devices"] = (*(row.get("mig_devices") or ()), mig["uuid"])
        page.take(line)


def _failure(line: Line, draft: Draft) -> None:
    """NVML's word in nvidia-smi's failure. The line stays a message, too."""
    if not _NVML.search(line.text):
        return
    lower = line.text.casefold()
    for words, code, name in _NVML_WORDS:
        if words in lower:
            text = line.text.strip()[:300]
            draft.statuses.append(ApiStatus(api="nvml", call="nvmlInit_v2", code=code, name=name, text=text, look=LOOK))
            return
