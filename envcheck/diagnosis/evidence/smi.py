"""nvidia-smi in all its forms: the table of every age, `-L`, `-q`, CSV, and what it says when it fails."""

import csv
import re

from envcheck.diagnosis.evidence.draft import LOOK, Draft
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.model.facts import ApiStatus
from envcheck.model.patterns import regex

_NUMBER = r"\d{3}\.\d+(?:\.\d+)*"
_HEADER = regex(
    rf"NVIDIA-SMI\s+(?P<smi>{_NUMBER}|\S+)\s+(?:(?:Driver|KMD)\s+Version\s*:\s*(?P<driver>{_NUMBER}|\S+))"
    r"(?:\s+CUDA(?:\s+UMD)?\s+Version\s*:\s*(?P<cuda>\d+\.\d+|\S+))?"
)
_STATE = r"(?:On|Off|N/A|WDDM(?:-GPU)?|TCC|MCDM|ERR!|Enabled|Disabled|\[N/A\])"
_ROW = regex(
    rf"^\s*\|\s*(?P<index>\d{{1,3}})\s+(?P<name>\S.*?)\s+(?P<mode>{_STATE})\s*\|"
    r"\s*(?P<bus>[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d|N/A|ERR!)\s+\S+\s*\|"
)
_MEMORY = regex(r"\|\s*(?P<used>\d+)\s*MiB\s*/\s*(?P<total>\d+)\s*MiB\s*\|(?P<rest>.*)$")
_COMPUTE = regex(r"(?P<mode>Default|E\. ?Process|E\. ?Thread|Prohibited)\s*\|")
_MIG_MODE = regex(r"^\s*\|\s*\|\s*\|\s*(?P<mig>Enabled|Disabled)\*?\s*\|\s*$")
_LIST = regex(r"^\s*GPU (?P<index>\d{1,3}): (?P<name>.+?)\s*\((?:UUID: )?(?P<uuid>GPU-[0-9a-fA-F-]{8,36}|\.{3})\)")
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
    _query(page, draft)
    _csv(page, draft)


def _header(match: re.Match[str], line: Line, draft: Draft) -> None:
    draft.smi_ran = True
    if re.fullmatch(_NUMBER, match["driver"] or ""):
        draft.see_many("nvidia.driver_versions", match["driver"], line)
        if re.fullmatch(_NUMBER, match["smi"]) and match["smi"].split(".")[:2] != match["driver"].split(".")[:2]:
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
        index = int(row["index"])
        name = row["name"] if row["name"] != "ERR!" else None
        bus = row["bus"].lower() if ":" in row["bus"] else None
        draft.gpu(index, line, name=name, pci_address=bus, error=None if bus and name else "UNKNOWN")
        page.take(line)
        return index
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


_Q = regex(r"^\s{0,40}(?P<key>[A-Z][A-Za-z0-9 ]{2,40}?)\s*:\s(?P<value>\S.*)$")
_Q_GPU = regex(r"^GPU (?P<bus>[0-9A-Fa-f]{8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d)\s*$")


def _query(page: Page, draft: Draft) -> None:
    """`nvidia-smi -q`: recognised by its banner, GPUs by their bus address at the margin."""
    if not any("NVSMI LOG" in line.text for line in page.lines[:200_000]):
        return
    index, section = -1, ""
    for line in page.lines:
        gpu = _Q_GPU.match(line.text)
        if gpu:
            index += 1
            draft.gpu(index, line, pci_address=gpu["bus"].lower())
            page.take(line)
            continue
        match = _Q.match(line.text)
        if match is None:
            section = line.text.strip() or section
            continue
        _query_field(match["key"].strip(), match["value"].strip(), section, index, line, draft)
        page.take(line)


def _query_field(key: str, value: str, section: str, index: int, line: Line, draft: Draft) -> None:
    if key == "Driver Version" and re.fullmatch(_NUMBER, value):
        draft.see_many("nvidia.driver_versions", value, line)
    elif key == "CUDA Version" and re.fullmatch(r"\d+\.\d+", value):
        draft.see_many("nvidia.cuda_versions", value, line)
    elif index >= 0 and key == "Product Name":
        draft.gpu(index, line, name=value)
    elif index >= 0 and key == "GPU UUID":
        draft.gpu(index, line, uuid=value)
    elif index >= 0 and section == "FB Memory Usage" and key == "Total" and value.endswith("MiB"):
        draft.gpu(index, line, memory_bytes=int(value.split(maxsplit=1)[0]) << 20)
    elif index >= 0 and section == "MIG Mode" and key == "Current" and value in ("Enabled", "Disabled"):
        draft.gpu(index, line, mig_enabled=value == "Enabled")
    elif index >= 0 and key == "Compute Mode":
        draft.gpu(index, line, compute_mode=value.casefold().replace(" ", "_"))
    elif index >= 0 and section == "Fabric" and key == "State" and value != "N/A":
        draft.gpu(index, line, fabric_state=value.casefold().replace(" ", "_"))


_CSV_FIELDS = {"name": "name", "gpu_name": "name", "uuid": "uuid", "gpu_uuid": "uuid", "pci.bus_id": "pci_address",
               "compute_cap": "compute_capability", "memory.total": "memory_bytes", "memory.free": "memory_free_bytes",
               "driver_version": "driver", "index": "index", "compute_mode": "compute_mode"}  # fmt: skip


def _csv(page: Page, draft: Draft) -> None:
    """CSV with its header line: `index, name, driver_version, memory.total [MiB]`."""
    fields: list[str | None] = []
    count = 0
    for line in page.lines:
        if "," not in line.text:
            fields = []
            continue
        cells = [cell.strip() for cell in next(csv.reader([line.text[:2000]]), [])]
        names = [_CSV_FIELDS.get(re.sub(r"\s*\[.*\]$", "", cell).casefold()) for cell in cells]
        if len([name for name in names if name]) >= 2:
            fields, count = list(names), 0
            page.take(line)
        elif fields and len(cells) == len(fields):
            _csv_row(dict(zip(fields, cells, strict=True)), count, line, draft)
            count += 1
            page.take(line)


def _csv_row(row: dict[str | None, str], count: int, line: Line, draft: Draft) -> None:
    known = {key: value for key, value in row.items() if key and value and not value.startswith("[")}
    index = int(known["index"][:6]) if known.get("index", "").isdecimal() else count
    if re.fullmatch(_NUMBER, known.get("driver", "")):
        draft.see_many("nvidia.driver_versions", known["driver"], line)
    values: dict[str, object] = {
        key: known.get(key) for key in ("name", "uuid", "compute_capability", "compute_mode", "pci_address")
    }
    for key in ("memory_bytes", "memory_free_bytes"):
        amount = re.match(r"(\d+)", known.get(key, ""))
        values[key] = int(amount[1]) << 20 if amount else None
    draft.gpu(index, line, **values)
