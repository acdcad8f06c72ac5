"""nvidia-smi asked for values: `-q`, its XML, CSV with and without a header, and nvidia-container-cli's list."""

import csv
import re

from envcheck.diagnosis.evidence.devices import is_card
from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.diagnosis.evidence.smi import NUMBER
from envcheck.model.patterns import regex

_Q = regex(r"^\s{0,40}(?P<key>[A-Z][A-Za-z0-9 ]{2,40}?)\s*:\s(?P<value>\S.*)$")
_Q_GPU = regex(r"^\s{0,8}GPU (?P<bus>(?:[0-9A-Fa-f]{4}){1,2}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d)\s*$")
_XML = regex(
    r"^\s{0,60}<(?P<tag>[a-z0-9_]{2,40})(?: id=\"(?P<bus>[0-9A-Fa-f:.]{8,20})\")?>"
    r"(?:(?P<value>[^<>\n]{1,120})</[a-z0-9_]{2,40}>)?\s{0,8}$"
)
_XML_KEYS = {
    "driver_version": "Driver Version", "cuda_version": "CUDA Version", "product_name": "Product Name",
    "uuid": "GPU UUID", "total": "Total", "compute_mode": "Compute Mode", "current_mig": "Current",
    "state": "State",
}  # fmt: skip
_XML_SECTIONS = {"fb_memory_usage": "FB Memory Usage", "mig_mode": "MIG Mode", "fabric": "Fabric"}
_CONTAINER_CLI = regex(
    rf"^\s{{0,8}}(?:(?P<driver>NVRM version):\s+(?P<number>{NUMBER})|(?P<key>CUDA version|Device Index|Model|GPU UUID"
    r"|Bus Location|Architecture):\s+(?P<value>\S.{0,80}?))\s*$"
)


def read(page: Page, draft: Draft) -> None:
    """All forms; a line that is none of them is left alone."""
    _query(page, draft)
    _xml(page, draft)
    _container_cli(page, draft)
    _csv(page, draft)


def _query(page: Page, draft: Draft) -> None:
    """`nvidia-smi -q`: recognised by its banner or its count, GPUs by their bus address at the margin."""
    if not any("NVSMI LOG" in line.text or line.text.startswith("Attached GPUs") for line in page.lines[:200_000]):
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


def _xml(page: Page, draft: Draft) -> None:
    """`nvidia-smi -q -x`: the same fields as elements; an element that opens a line alone is a section."""
    index, section = -1, ""
    inside = False
    for line in page.lines:
        inside = inside or "<nvidia_smi_log" in line.text or "<product_name>" in line.text
        match = _XML.match(line.text) if inside else None
        if match is None:
            continue
        if match["bus"]:
            index += 1
            draft.gpu(index, line, pci_address=match["bus"].lower())
        elif match["value"] is None:
            section = _XML_SECTIONS.get(match["tag"], "")
        elif match["tag"] in _XML_KEYS:
            _query_field(_XML_KEYS[match["tag"]], match["value"].strip(), section, index, line, draft)
        page.take(line)


def _query_field(key: str, value: str, section: str, index: int, line: Line, draft: Draft) -> None:
    if key == "Driver Version" and re.fullmatch(NUMBER, value):
        draft.see_many("nvidia.driver_versions", value, line)
    elif key == "CUDA Version" and re.fullmatch(r"\d+\.\d+", value):
        draft.see_many("nvidia.cuda_versions", value, line)
    elif index >= 0 and key == "Product Name":
        draft.gpu(index, line, name=value)
    elif index >= 0 and key == "GPU UUID":
        draft.gpu(index, line, uuid=value)
    elif index >= 0 and section == "FB Memory Usage" and key == "Total":
        amount = re.fullmatch(r"(\d{1,9}) Mi?B", value)
        draft.gpu(index, line, memory_bytes=int(amount[1]) << 20 if amount else None)
    elif index >= 0 and section == "MIG Mode" and key == "Current" and value in ("Enabled", "Disabled"):
        draft.gpu(index, line, mig_enabled=value == "Enabled")
    elif index >= 0 and key == "Compute Mode":
        draft.gpu(index, line, compute_mode=value.casefold().replace(" ", "_"))
    elif index >= 0 and section == "Fabric" and key == "State" and value != "N/A":
        draft.gpu(index, line, fabric_state=value.casefold().replace(" ", "_"))


def _container_cli(page: Page, draft: Draft) -> None:
    """`nvidia-container-cli info`: the driver's two versions, then each device."""
    index: int | None = None
    begun = False
    for line in page.lines:
        match = _CONTAINER_CLI.match(line.text)
        if match is None:
            continue
        key, value = match["key"], match["value"] or ""
        if match["driver"]:
            draft.see_many("nvidia.driver_versions", match["number"], line)
            begun, index = True, None
        elif begun and key == "CUDA version" and re.fullmatch(r"\d{1,2}\.\d{1,2}", value):
            draft.see_many("nvidia.cuda_versions", value, line)
        elif begun and key == "Device Index" and value.isdecimal():
            index = int(value[:3])
        elif index is not None:
            _container_device(index, key, value, line, draft)


def _container_device(index: int, key: str, value: str, line: Line, draft: Draft) -> None:
    if key == "Model":
        draft.gpu(index, line, name=value)
    elif key == "GPU UUID":
        draft.gpu(index, line, uuid=value)
    elif key == "Bus Location":
        draft.gpu(index, line, pci_address=value.lower())
    elif key == "Architecture" and re.fullmatch(r"\d{1,2}\.\d", value):
        draft.gpu(index, line, compute_capability=value)


_CSV_FIELDS = {"name": "name", "gpu_name": "name", "uuid": "uuid", "gpu_uuid": "uuid", "pci.bus_id": "pci_address",
               "gpu_bus_id": "pci_address", "compute_cap": "compute_capability", "memory.total": "memory_bytes",
               "memory.free": "memory_free_bytes", "driver_version": "driver", "index": "index",
               "compute_mode": "compute_mode"}  # fmt: skip
_ASKED = regex(
    r"nvidia-smi(?:\.exe)?[\"']?\s[^\n]{0,200}--query-gpu[= ][\"']?(?P<fields>[\w.]{2,60}(?:, ?[\w.]{2,60}){0,60})"
)
_FIELD = regex(r"[a-z_]{1,40}(?:\.[a-z_0-9]{1,40}){0,4}(?: ?\[[^\]\n]{0,12}\])?")
_UNSAID = regex(r"\[.{1,40}\]|N/A|ERR!?")
_SHAPES = {
    "uuid": regex(r"(?:GPU|MIG)-\S{2,80}"),
    "pci_address": regex(r"[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d"),
    "compute_capability": regex(r"\d{1,2}\.\d"),
    "memory_bytes": regex(r"\d{1,9}(?: MiB)?"),
    "memory_free_bytes": regex(r"\d{1,9}(?: MiB)?"),
    "driver": regex(NUMBER),
    "index": regex(r"\d{1,3}"),
    "compute_mode": regex(r"Default|Exclusive_\w{2,20}|Prohibited"),
}
_LABEL = regex(r"^\s{0,8}(?:[-*]\s{1,3})?Accelerator: ")
_AMOUNT = regex(r"(?P<value>\d{1,9} MiB)(?: VRAM)?")


def _csv(page: Page, draft: Draft) -> None:
    """Rows below a header, below the command that asked for them, or telling by themselves what they hold."""
    fields: list[str | None] = []
    count, fresh = 0, not draft.gpus
    for line in page.lines:
        if not line.text.strip():
            continue
        asked = _ASKED.search(line.text)
        if asked:
            fields, count = [_field(cell) for cell in asked["fields"].split(",")], 0
            continue
        cells = [cell.strip() for cell in next(csv.reader([line.text[:2000]]), [])]
        if _is_header(cells, fields):
            fields, count = [_field(cell) for cell in cells], 0
            page.take(line)
            continue
        lost = "[GPU is lost]" in line.text  # the line stays a message, too
        row = _row(cells, fields) if fields else None
        if row is None:
            fields = []
            row = _told_by_themselves(line.text) if fresh and "," in line.text else None
        if row is not None:
            _csv_row(row, count, line, draft)
            count += 1
            if not lost:
                page.take(line)


def _field(cell: str) -> str | None:
    return _CSV_FIELDS.get(cell.partition("[")[0].strip().casefold())


def _is_header(cells: list[str], asked: list[str | None]) -> bool:
    names = [cell for cell in cells if _FIELD.fullmatch(cell)]
    known = [cell for cell in names if _field(cell)]
    if len(names) != len(cells) or not known:
        return False
    return len(names) > 1 or len(asked) == 1


def _row(cells: list[str], fields: list[str | None]) -> dict[str, str] | None:
    """The known cells by their names, or None where the line is not such a row."""
    if len(cells) != len(fields):
        return None
    row = {key: cell for key, cell in zip(fields, cells, strict=True) if key and not _UNSAID.fullmatch(cell)}
    fits = all(is_card(cell) if key == "name" else _SHAPES[key].fullmatch(cell) for key, cell in row.items())
    return row if fits else None


def _told_by_themselves(text: str) -> dict[str, str] | None:
    """`NVIDIA A10, 23028 MiB, 535.54.03`: a name, and an amount or a driver whose form tells what it is."""
    label = _LABEL.match(text)
    cells = [cell.strip() for cell in text[label.end() if label else 0 :][:400].split(",")]
    row: dict[str, str] = {}
    for position, cell in enumerate(cells):
        amount = _AMOUNT.fullmatch(cell)
        if amount:
            row.setdefault("memory_bytes", amount["value"])
        elif _SHAPES["driver"].fullmatch(cell):
            row.setdefault("driver", cell)
        elif _SHAPES["uuid"].fullmatch(cell):
            row.setdefault("uuid", cell)
        elif _SHAPES["compute_capability"].fullmatch(cell):
            row.setdefault("compute_capability", cell)
        elif position == 0 and len(cells) > 1 and cell.isdecimal() and len(cell) < 3:
            row["index"] = cell
        elif "name" not in row and is_card(cell):
            row["name"] = cell
        else:
            return None
    return row if "name" in row and ({"memory_bytes", "driver", "uuid"} & set(row)) else None


def _csv_row(known: dict[str, str], count: int, line: Line, draft: Draft) -> None:
    index = int(known["index"]) if "index" in known else count
    if "driver" in known:
        draft.see_many("nvidia.driver_versions", known["driver"], line)
    values: dict[str, object] = {
        key: known.get(key) for key in ("name", "uuid", "compute_capability", "compute_mode", "pci_address")
    }
    for key in ("memory_bytes", "memory_free_bytes"):
        amount = re.match(r"(\d+)", known.get(key, ""))
        values[key] = int(amount[1]) << 20 if amount else None
    if any(value is not None for value in values.values()):
        draft.gpu(index, line, **values)
