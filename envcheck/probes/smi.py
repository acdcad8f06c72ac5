"""nvidia-smi, asked only when NVML gave nothing: musl, a Python without ctypes, a library that crashes.

Its output is not a stable interface, so only `--query-gpu` is read, field by field, and everything that is no row
is kept as a message. It runs by a trusted absolute path, for a bounded time, with a bounded output.
"""

import re
from collections.abc import Iterator, Sequence

from envcheck.model.base import Plain
from envcheck.model.facts import ApiStatus, Gpu, Message, Observation, Sighting
from envcheck.model.patterns import regex
from envcheck.probes.child import Ran
from envcheck.probes.nvmlfacts import MAX_NAME, driver_version, pci_address
from envcheck.probes.returncodes import NVML_CODES, nvml_name
from envcheck.probes.system import System

FIELDS = ("index", "name", "uuid", "driver_version", "memory.total", "compute_cap")
LIMIT = 15.0
CAP = 1 << 20
MAX_ROWS, MAX_MESSAGES = 64, 20
_PLACES = ("/usr/bin/nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi", "/usr/local/nvidia/bin/nvidia-smi")
_WINDOWS_PLACE = "\\NVIDIA Corporation\\NVSMI\\nvidia-smi.exe"
_UUID = regex(r"(?:GPU|MIG)-[0-9a-fA-F/-]{8,64}")
_NO_VALUE = regex(r"N/A|ERR!|\[(?:N/A|[A-Za-z][A-Za-z ]{2,60})\]", re.IGNORECASE)
_CAPABILITY = regex(r"(\d{1,2})[.,](\d{1,2})")
_UNREADABLE = regex(
    r"determine the device handle for gpu\s*(?:(?P<index>\d{1,3}):)?\s*"
    r"(?P<pci>[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])?\s*:?\s*(?P<why>[^\n]{0,200})",
    re.IGNORECASE,
)
_CUDA_VERSION = regex(r"<cuda_version>\s*(\d{1,2}\.\d{1,2})\s*</cuda_version>")
_STATES = (
    ("gpu is lost", "GPU_IS_LOST"),
    ("requires reset", "RESET_REQUIRED"),
    ("requires restart", "RESET_REQUIRED"),
    ("unknown error", "UNKNOWN"),
    ("insufficient permissions", "NO_PERMISSION"),
)
"""What stands in a field, or in place of a row, of a GPU that does not answer."""


class Table(Plain, frozen=True):
    """What `--query-gpu` printed: the GPUs, the driver's version, and every line that was no row."""

    gpus: tuple[Gpu, ...]
    driver_version: str | None
    other: tuple[str, ...]


class Answer(Plain, frozen=True):
    """What nvidia-smi said; `gpus` None: it listed nothing that can be relied on."""

    gpus: tuple[Gpu, ...] | None
    driver_versions: tuple[Sighting, ...]
    cuda_versions: tuple[Sighting, ...]
    statuses: tuple[ApiStatus, ...]
    returncode: int | None
    messages: tuple[Message, ...]
    observation: Observation


def find(system: System) -> str | None:
    """Where nvidia-smi is; only where nobody else can have put it."""
    places = [path for path in _PLACES if not system.windows]
    if system.windows and (programs := system.env("ProgramFiles")):
        places.append(programs + _WINDOWS_PLACE)
    return system.which("nvidia-smi") or next((path for path in places if system.kind(path) == "file"), None)


def look(system: System, path: str, limit: float) -> Answer:
    """Ask it; `limit` is for all its runs together."""
    budget = limit = min(limit, LIMIT)
    ran = _query(system, path, FIELDS, limit)
    limit -= ran.ms / 1000
    if ran.state == "failed" and ran.returncode and "compute_cap" in ran.stdout + ran.stderr and limit > 0.1:
        ran = _query(system, path, FIELDS[:-1], limit)  # a driver older than the field
        limit -= ran.ms / 1000
    table = parse_smi_csv(ran.stdout)
    where = "nvidia-smi --query-gpu"
    versions = (Sighting(value=table.driver_version, look="smi", where=where),) if table.driver_version else ()
    return Answer(
        gpus=table.gpus or (() if any(line.startswith("No devices were found") for line in table.other) else None),
        driver_versions=versions,
        cuda_versions=_cuda_version(system, path, limit) if table.gpus else (),
        statuses=tuple(_statuses(ran.returncode)),
        returncode=ran.returncode,
        messages=tuple(_messages((*table.other, *ran.stderr.splitlines()))),
        observation=_observation(ran, table, (budget - limit) * 1000),
    )


def parse_smi_csv(text: str, fields: Sequence[str] = FIELDS) -> Table:
    """Rows of `--format=csv,noheader,nounits` with `fields`, whatever stands between them.

    Fields that do not apply (`[N/A]`, `[Not Supported]`, `ERR!`) are None; a lost GPU's row or line becomes a GPU
    with `error`. UTF-16, CRLF, units and a header line are borne.
    """
    gpus: dict[int, Gpu] = {}
    versions: list[str] = []
    other: list[str] = []
    for line in _lines(text):
        row = _row(line, fields)
        if row is None:
            gpu = _unreadable(line, gpus)
            if gpu is not None and len(gpus) < MAX_ROWS:
                gpus.setdefault(gpu.index, gpu)
            other.append(line[:500])
        elif len(gpus) < MAX_ROWS:
            gpus[row.gpu.index] = row.gpu
            versions += [row.driver] if row.driver else []
    ordered = tuple(gpu for _, gpu in sorted(gpus.items()))
    return Table(ordered, versions[0] if versions else None, tuple(other[:MAX_MESSAGES]))


def _query(system: System, path: str, fields: Sequence[str], limit: float) -> Ran:
    argv = [path, "--query-gpu=" + ",".join(fields), "--format=csv,noheader,nounits"]
    env = {name: value for name, value in system.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return system.run(argv, limit=max(limit, 0.05), cap=CAP, env=env)


def _cuda_version(system: System, path: str, limit: float) -> tuple[Sighting, ...]:
    """The CUDA version stands only in the XML, which is searched and never parsed."""
    if limit < 0.1:
        return ()
    found = _CUDA_VERSION.search(system.run([path, "-q", "-x"], limit=limit, cap=CAP).stdout)
    return (Sighting(value=found[1], look="smi", where="nvidia-smi -q -x"),) if found else ()


def _lines(text: str) -> Iterator[str]:
    plain = text.replace("\0", "").removeprefix("\\xff\\xfe").removeprefix("\ufeff")
    for line in plain.splitlines():
        stripped = line.strip()
        if stripped and not stripped.lower().startswith("index,"):
            yield stripped


class _Row(Plain, frozen=True):
    gpu: Gpu
    driver: str | None


def _row(line: str, fields: Sequence[str]) -> _Row | None:
    """One GPU; a name may hold a comma, so the fields behind it are counted from the end."""
    parts = [part.strip() for part in re.split(r",\s+" if ", " in line else ",", line)]
    if len(parts) < len(fields) - 1 or not re.fullmatch(r"\d{1,4}", parts[0]):
        return None
    uuid_at = next((at for at, part in enumerate(parts) if at > 1 and _UUID.fullmatch(part)), None)
    behind = len(parts) - uuid_at if uuid_at else min(len(fields) - 2, len(parts) - 2)
    name, rest = ", ".join(parts[1 : len(parts) - behind]), parts[len(parts) - behind :]
    value = dict(zip(fields[2:], rest, strict=False))
    error = _state(line)
    memory = re.match(r"\d{1,12}", _known(value.get("memory.total")) or "")
    capability = _CAPABILITY.fullmatch(_known(value.get("compute_cap")) or "")
    gpu = Gpu(
        index=int(parts[0]),
        name=(_known(name) or "")[:MAX_NAME] or None,
        uuid=_known(value.get("uuid")),
        memory_bytes=(int(memory[0]) << 20 or None) if memory else None,
        unified_memory=True if value.get("memory.total", "").upper() in ("[N/A]", "[NOT SUPPORTED]") else None,
        compute_capability=f"{capability[1]}.{capability[2]}" if capability else None,
        error=error,
        error_call="nvidia-smi" if error else None,
        look="smi",
    )
    return _Row(gpu, driver_version(_known(value.get("driver_version"))))


def _known(field: str | None) -> str | None:
    """A field's value; None for `[N/A]`, `[Not Supported]`, `[Unknown Error]`, `ERR!` and the like."""
    if not field or _NO_VALUE.fullmatch(field):
        return None
    return field[:MAX_NAME]


def _state(text: str) -> str | None:
    lower = text.lower()
    return next((name for words, name in _STATES if words in lower), None)


def _unreadable(line: str, known: dict[int, Gpu]) -> Gpu | None:
    """The GPU of `Unable to determine the device handle for GPU1: 0000:0A:00.0: GPU is lost. ...`."""
    match = _UNREADABLE.search(line)
    if match is None:
        return None
    index = int(match["index"]) if match["index"] else max(known, default=-1) + 1
    state = _state(match["why"]) or "UNKNOWN"
    return Gpu(index=index, pci_address=pci_address(match["pci"]), error=state, error_call="nvidia-smi", look="smi")


def _statuses(returncode: int | None) -> Iterator[ApiStatus]:
    """nvidia-smi leaves with NVML's own numbers; 1 is any program's."""
    if returncode in NVML_CODES and returncode != 1:
        text = NVML_CODES[returncode][1]
        yield ApiStatus(
            api="nvml", call="nvidia-smi", code=returncode, name=nvml_name(returncode), text=text, look="smi"
        )


def _messages(lines: Sequence[str]) -> Iterator[Message]:
    told = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    for line in told[:MAX_MESSAGES]:
        yield Message(kind="error", text=line[:500], look="smi", where="nvidia-smi")


def _observation(ran: Ran, table: Table, ms: float) -> Observation:
    said = next(iter((*table.other, *ran.stderr.split("\n"))), "").strip()[:300]
    state = ran.state
    if state == "failed" and table.gpus and not ran.detail:
        state = "ok"  # it leaves with an error and prints usable rows when one of several GPUs is lost
    if state == "ok" and not table.gpus and not said.startswith("No devices were found"):
        state, said = "failed", said or "printed no row"
    detail = ran.detail or (f"exit code {ran.returncode}: {said}" if ran.returncode else said)
    return Observation(
        look="smi", state=state, ms=round(ms, 1), signal=ran.signal, returncode=ran.returncode, detail=detail or None
    )
