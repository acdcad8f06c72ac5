"""From the target worker's answers to `Python`, `Package` and `Torch`. Pure: what is no such thing is left out."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from envcheck.model.facts import Environment, Message, Observation, Package, Python, State, Torch, TorchDevice
from envcheck.model.patterns import regex
from envcheck.probes.worker import WorkerResult

Struct = TypeVar("Struct", bound=msgspec.Struct)

_ESSENTIAL = ("import", "build", "is_available", "device_count")
_FIRST_STEPS = (None, "interpreter", "packages", "torch files", "ssl")
_DEVICE = regex(r"(?:device|kernel) (cuda|rocm|xpu|mps):(\d{1,3})")
_UUID = regex(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CONTROL = regex(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+")
TEXT_CAP = 8192
_OLDEST = (3, 7)
"""The oldest interpreter that the torch part of the worker is written for."""


def interpreter_facts(
    values: Mapping[str, Any], path: str, chosen_by: str, candidates: Sequence[Environment] = (), pip: str | None = None
) -> Python:
    """The interpreter that answered; what it did not answer is None."""
    known = dict(_dict(values, "interpreter"))
    files = _dict(values, "torch files")
    shadows = None
    if files:
        shadows = (*files.get("shadows", ()), *_harmful(values, files.get("strays", ())))
    known |= {"path": known.get("path") or path, "chosen_by": chosen_by, "shadows": shadows, "pip_python": pip}
    known["has_ssl"] = values.get("ssl")
    return msgspec.structs.replace(_struct(Python, known), candidates=tuple(candidates))


def package_facts(values: Mapping[str, Any]) -> tuple[Package, ...] | None:
    """Installed distributions that have to do with torch; None when that was not seen."""
    found = values.get("packages")
    if not isinstance(found, list):
        return None
    return tuple(_struct(Package, one) for one in found if isinstance(one, dict) and "name" in one)


def torch_facts(result: WorkerResult) -> Torch:
    """Torch by its files and, as far as it got, by its own word, which counts more."""
    values, errors = result.values, result.errors
    files, build, cpu = _dict(values, "torch files"), _dict(values, "build"), _dict(values, "cpu")
    imported = _imported(result)
    known = {**files, **{name: build.get(name) for name in ("cuda", "hip", "xpu", "debug", "arch_list") if build}}
    known |= {
        "version": build.get("version") or files.get("version"),
        "git": build.get("git_version") or files.get("git"),
        "file": _dict(values, "import").get("file") or files.get("file"),
        "cuda_known": bool(build) or files.get("cuda_known", False),
        "broken_files": files.get("broken_files"),
        "imported": imported,
        "import_ms": _dict(values, "import").get("ms"),
        "error_type": errors.get("import", {}).get("type"),
        "error_text": errors.get("import", {}).get("text"),
        "error_traceback": errors.get("import", {}).get("traceback") or _stack(result),
        "cudnn": values.get("cudnn"),
        "nccl": values.get("nccl"),
        "cuda_available": values.get("is_available"),
        "available_error": errors.get("init", {}).get("text") or errors.get("is_available", {}).get("text"),
        "device_count": values.get("device_count", 0 if values.get("is_available") is False else None),
        "mps_available": values.get("mps is_available"),
        "xpu_available": values.get("xpu is_available", False if build and not build.get("xpu") else None),
        "cpu_kernel_ok": _kernel(result, "cpu")[0],
        "cpu_capability": cpu.get("capability"),
        "threads": cpu.get("threads"),
        "mapped_libraries": _dict(values, "libraries").get("mapped"),
    }
    devices = tuple(_devices(result)) if imported and "is_available" in values else None
    return msgspec.structs.replace(_struct(Torch, known | {"variant": variant(known)}), devices=devices)


def variant(known: Mapping[str, Any]) -> str | None:
    """What a build was made for: the local part of its version, else what it says of CUDA, ROCm and XPU."""
    local = str(known.get("version") or "").partition("+")[2]
    named = re.match(r"cpu|cu\d+|rocm[\d.]+|xpu", local)
    if named:
        return named[0].rstrip(".")
    if not known.get("cuda_known"):
        return None
    for name, prefix, parts in (("cuda", "cu", ""), ("hip", "rocm", "."), ("xpu", "xpu", None)):
        numbers = re.match(r"(\d+)\.(\d+)", str(known.get(name) or ""))
        if known.get(name):
            return prefix + (parts.join(numbers.groups()) if numbers and parts is not None else "")
    return "mps" if known.get("mps") else "cpu"


def messages_of(result: WorkerResult) -> tuple[Message, ...]:
    """Every warning and exception of the torch part, and what was printed meanwhile."""
    said = [_dict(result.values, step) for step in result.values if step.startswith("said ")]
    found = [
        Message(kind="warning", text=cleaned(str(one.get("text"))), look="torch", where=str(one.get("stage")))
        for one in said
    ]
    found += [
        Message(kind="error", text=cleaned(f"{error['type']}: {error['text']}"), look="torch", where=step)
        for step, error in result.errors.items()
        if step not in _FIRST_STEPS
    ]
    printed = cleaned(result.output)
    if printed:
        found.append(Message(kind="log", text=printed, look="torch", where=result.stage or "output"))
    return tuple(found)


def observations_of(result: WorkerResult, *, torch: bool) -> tuple[Observation, ...]:
    """How the looks `interpreter` and `torch` ended; `torch`: whether it was asked for."""
    files = result.values.get("torch files")
    early = files is None
    state: State = "ok" if not early else "failed" if result.state == "ok" else result.state
    failed = next((result.errors[step] for step in ("interpreter", "torch files") if step in result.errors), None)
    first = _observation("interpreter", result, state, failed) if early else _short("interpreter", "ok")
    if early:
        return first, _short("torch", "skipped", "the look `interpreter` gave no answer")
    return first, _torch_observation(result, torch=torch)


def cleaned(text: str) -> str:
    """Printable characters, lines and tabs; the beginning and the end when it is long."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if len(text) <= TEXT_CAP:
        return text
    return text[: TEXT_CAP // 2] + "\n[...]\n" + text[-TEXT_CAP // 2 :]


def _torch_observation(result: WorkerResult, *, torch: bool) -> Observation:
    if not _dict(result.values, "torch files").get("installed"):
        return _short("torch", "absent")
    if not torch:
        return _short("torch", "skipped", "not asked for")
    version = str(_dict(result.values, "interpreter").get("version", ""))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _OLDEST:
        return _short("torch", "skipped", f"Python {version} is too old for this look")
    if result.state != "ok":
        return _observation("torch", result, result.state, None)
    step = next((step for step in _ESSENTIAL if step in result.errors), None)
    if step is None:
        return Observation(look="torch", state="ok", ms=result.ms)
    return msgspec.structs.replace(_observation("torch", result, "failed", result.errors[step]), stage=step)


def _observation(look: str, result: WorkerResult, state: State, error: Mapping[str, str] | None) -> Observation:
    words = [line.strip() for line in cleaned(result.output).split("\n") if line.strip()]
    detail = f"{error['type']}: {error['text']}" if error else result.detail or (words[-1] if words else None)
    return Observation(
        look=look,
        state=state,
        ms=result.ms,
        stage=result.stage,
        signal=result.signal,
        returncode=result.returncode if state != "ok" else None,
        detail=cleaned(detail)[:500] if detail else None,
    )


def _short(look: str, state: State, detail: str | None = None) -> Observation:
    return Observation(look=look, state=state, detail=detail)


def _imported(result: WorkerResult) -> bool | None:
    if "import" in result.errors:
        return False
    return True if "import" in result.values else None


def _stack(result: WorkerResult) -> str | None:
    """Python's stack at a crash or a hang, without the lines of the worker's own files."""
    if result.state == "ok" or not result.traceback:
        return None
    lines = [line for line in result.traceback.split("\n") if "/target" not in line and "script.py" not in line]
    return cleaned("\n".join(lines))


def _devices(result: WorkerResult) -> Iterator[TorchDevice]:
    steps = [*result.values, *result.errors, result.stage or ""]
    names = dict.fromkeys(match.groups() for match in map(_DEVICE.fullmatch, steps) if match)
    for kind, index in names:
        known = dict(_dict(result.values, f"device {kind}:{index}"))
        ok, error = _kernel(result, f"{kind}:{index}")
        error = error or result.errors.get(f"device {kind}:{index}", {}).get("text")
        if kind == "cuda" and _UUID.fullmatch(str(known.get("uuid"))):
            known["uuid"] = f"GPU-{known['uuid']}"  # as the driver writes it
        yield _struct(TorchDevice, known | {"kind": kind, "index": int(index), "kernel_ok": ok, "kernel_error": error})


def _kernel(result: WorkerResult, device: str) -> tuple[bool | None, str | None]:
    step = f"kernel {device}"
    if step in result.errors:
        return False, result.errors[step].get("text")
    if step in result.values:
        answer = _dict(result.values, step)
        return answer.get("ok") is True, answer.get("text")
    if result.stage == step and result.state == "crashed":
        return False, result.signal or result.detail
    return None, None


def _harmful(values: Mapping[str, Any], strays: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Of the files named like standard modules, those whose name the import of torch asked for."""
    asked = _dict(values, "libraries").get("strays", ())
    return tuple(path for name, path in strays if name in asked)


def _dict(values: Mapping[str, Any], step: str) -> Mapping[str, Any]:
    found = values.get(step)
    return found if isinstance(found, dict) else {}


def _struct(kind: type[Struct], known: Mapping[str, Any]) -> Struct:
    """A struct of what has the right type; a value that a broken torch made up is dropped, not believed."""
    ours = {name: value for name, value in known.items() if name in kind.__struct_fields__}
    try:
        return msgspec.convert(ours, kind)
    except msgspec.ValidationError:
        return msgspec.convert(_right(kind, ours), kind)


def _right(kind: type[msgspec.Struct], known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that have the type of their field."""
    right = {}
    for field in msgspec.structs.fields(kind):
        with contextlib.suppress(msgspec.ValidationError, KeyError):
            right[field.name] = msgspec.convert(known[field.name], field.type)
    return right
