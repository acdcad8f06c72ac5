"""The machine in one line an area: what was seen there, and the worst finding about it. Shared by the faces."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import msgspec

from envcheck.model.facts import Facts, Gpu, Observation, TorchDevice
from envcheck.model.report import SEVERITIES, Examination, Finding
from envcheck.model.text import Text, say

Mark = Literal["ok", "error", "warning", "info", "unknown", "skipped"]
Line = tuple[Text, ...]
"""Parts of one line, to be joined by commas."""

_VENDORS = {"10de": "NVIDIA", "1002": "AMD", "8086": "Intel"}
_DIED = ("failed", "timeout", "crashed")
_MOST_LINES = 16


class Area(NamedTuple):
    """One line of the overview (more when GPUs differ), with the codes of the findings about it."""

    name: Text
    mark: Mark
    lines: tuple[Line, ...]
    codes: tuple[str, ...]


class _Seen(NamedTuple):
    """What the facts alone say of an area."""

    mark: Mark
    lines: tuple[Line, ...]


def areas(examination: Examination) -> tuple[Area, ...]:
    """The overview, in the order in which one thing needs the other; areas without anything to say are left out."""
    facts, found = examination.facts, examination.report.findings
    made = (_area(name, look(facts), [one for one in found if area_of(one) == key]) for key, name, look in _AREAS)
    return tuple(_bounded(area) for area in made if area.lines or area.mark in ("error", "warning"))


def _bounded(area: Area) -> Area:
    """A screen is for a machine, not for ten thousand GPUs."""
    more = len(area.lines) - _MOST_LINES
    if more < 1:
        return area
    return area._replace(lines=(*area.lines[:_MOST_LINES], (say("and {count} more", count=more),)))


def area_of(finding: Finding) -> str:
    """The area that a finding belongs to: by the hundreds of its code, GPU and driver by its slug."""
    hundreds = finding.code[2:3]
    if hundreds == "2":
        return "gpu" if "gpu" in finding.slug else "driver"
    return _AREA_OF_HUNDREDS.get(hundreds, "looks")


def _area(name: Text, seen: _Seen, found: list[Finding]) -> Area:
    codes = tuple(dict.fromkeys(one.code for one in found))
    ranks = [SEVERITIES.index(one.severity) for one in found]
    mark: Mark = seen.mark
    if ranks and (SEVERITIES[min(ranks)] != "info" or mark == "ok"):
        mark = SEVERITIES[min(ranks)]
    return Area(name, mark, seen.lines, codes)


# One function an area ------------------------------------------------------------------------------------------


def _python(facts: Facts) -> _Seen:
    python = facts.python
    if python.version is None:
        return _unknown(facts, "interpreter")
    libc = python.libc or facts.host.libc
    parts = [
        say("{implementation} {version}", implementation=python.implementation or "Python", version=python.version),
        say("{bits}-bit", bits=python.bits) if python.bits else None,
        _libc(libc, python.libc_version or facts.host.libc_version) if libc else None,
        say("free-threaded") if python.free_threaded else None,
        _KINDS.get(python.kind or ""),
    ]
    return _Seen("ok", (_line(parts),))


def _libc(libc: str, version: str | None) -> Text | None:
    return None if libc == "none" else say("{libc} {version}", libc=libc, version=version or "")


def _gpu(facts: Facts) -> _Seen:
    lines = [*_nvidia_gpus(facts.nvidia.gpus or ()), *_amd_gpus(facts), *_apple_gpus(facts)]
    if lines:
        return _Seen("ok", tuple(lines))
    cards = Counter(_VENDORS[card.vendor] for card in facts.pci or () if card.vendor in _VENDORS)
    dead = _dead(facts, "nvml", "smi") if facts.nvidia.gpus is None else None
    parts = [
        say("on the PCI bus: {cards}", cards=", ".join(_times(name, count) for name, count in cards.items()))
        if cards
        else None,
        say("no driver lists it") if _has_nvidia_card(facts) and not dead else None,
    ]
    if dead:
        return _Seen("unknown", (_line([*parts, _silent(dead)]),))
    if not cards and facts.nvidia.gpus is None and facts.pci is None:
        return _Seen("skipped", ((say("not known"),),))
    return _Seen("skipped", (_line(parts) if cards else (say("none seen"),),))


def _times(name: str, count: int) -> str:
    return f"{name} × {count}" if count > 1 else name


def _nvidia_gpus(gpus: tuple[Gpu, ...]) -> Iterable[Line]:
    """One line for GPUs that are alike."""
    alike: dict[tuple[object, ...], list[Gpu]] = {}
    for gpu in gpus:
        key = (gpu.name, gpu.memory_bytes, gpu.compute_capability, gpu.mig_enabled, gpu.error)
        alike.setdefault(key, []).append(gpu)
    for first, *others in alike.values():
        name = first.name or "GPU"
        several = say("{count} × {name}", count=len(others) + 1, name=name)
        parts = [
            several if others else say("{index}: {name}", index=first.index, name=name),
            _memory(first.memory_bytes),
            _capability(first.compute_capability),
            say("MIG on") if first.mig_enabled else None,
            say("does not answer: {error}", error=first.error) if first.error else None,
        ]
        yield _line(parts)


def _amd_gpus(facts: Facts) -> Iterable[Line]:
    for gpu in facts.amd.gpus or ():
        yield _line([say("{index}: {name}", index=gpu.index, name=gpu.name or "AMD GPU"), _plain(gpu.gfx)])


def _apple_gpus(facts: Facts) -> Iterable[Line]:
    if facts.torch.mps_available:
        yield (say("Apple GPU (MPS)"),)


def _driver(facts: Facts) -> _Seen:
    nvidia = facts.nvidia
    versions = tuple(dict.fromkeys(sighting.value for sighting in nvidia.driver_versions))
    if versions:
        cuda = tuple(dict.fromkeys(sighting.value for sighting in nvidia.cuda_versions))
        flavour = next((module.flavour for module in nvidia.modules or () if module.name == "nvidia"), None)
        parts = [
            say("{version}", version=" / ".join(versions)),
            say("runs CUDA up to {cuda}", cuda=" / ".join(cuda)) if cuda else None,
            _FLAVOURS.get(flavour or ""),
        ]
        return _Seen("ok", (_line(parts),))
    if facts.amd.rocm_version:
        return _Seen("ok", ((say("ROCm {version}", version=facts.amd.rocm_version),),))
    if nvidia.modules is None and nvidia.gpus is None and facts.pci is None:
        return _unknown(facts, "files", "nvml")
    return _Seen("skipped", ((say("no NVIDIA driver"),),) if _has_nvidia_card(facts) else ())


def _has_nvidia_card(facts: Facts) -> bool:
    return any(card.vendor == "10de" for card in facts.pci or ())


def _torch(facts: Facts) -> _Seen:
    torch = facts.torch
    if torch.installed is None and torch.version is None:
        return _unknown(facts, "torch", "interpreter")
    if torch.installed is False:
        return _Seen("skipped", ((say("not installed"),),))
    version = torch.version or ""
    built = None
    if torch.variant and torch.variant not in version:
        built = say("built for {variant}", variant=torch.variant)
    if torch.variant == "cpu":
        built = say("a build for the CPU only")
    parts = [
        say("{version}", version=version) if version else say("version not known"),
        built,
        say("import failed: {error}", error=torch.error_type or "?") if torch.imported is False else None,
    ]
    dead = _dead(facts, "torch") if torch.imported is None else None
    return _Seen("unknown" if dead else "ok", (_line([*parts, _silent(dead) if dead else None]),))


def _compute(facts: Facts) -> _Seen:
    torch = facts.torch
    if not torch.imported:
        return _Seen("skipped", ())
    parts: list[Text | None] = []
    if torch.cuda_available is not None:
        parts.append(say("torch.cuda.is_available() is {answer}", answer=torch.cuda_available))
    if torch.cuda_available:
        parts.append(say("devices: {count}", count=torch.device_count or len(torch.devices or ())))
    parts += [
        say("MPS is available") if torch.mps_available else None,
        say("XPU is available") if torch.xpu_available else None,
    ]
    return _Seen("ok" if torch.cuda_available else "skipped", (_line(parts),) if any(parts) else ())


def _training(facts: Facts) -> _Seen:
    torch = facts.torch
    tried = [("CPU", torch.cpu_kernel_ok), *((_device(one), one.kernel_ok) for one in torch.devices or ())]
    right = [name for name, well in tried if well]
    wrong = [name for name, well in tried if well is False]
    parts = [
        say("a small training step works on: {devices}", devices=", ".join(right)) if right else None,
        say("a small training step fails on: {devices}", devices=", ".join(wrong)) if wrong else None,
    ]
    verified, broken = _verified(facts)
    line = _line(verified if any(verified) and not wrong else (*parts, *verified))
    return _Seen("error" if wrong or broken else "ok", (line,)) if line else _Seen("skipped", ())


def _verified(facts: Facts) -> tuple[list[Text | None], bool]:
    """What verify-backprop (`--deep`) found, and whether a device computes wrong."""
    devices = facts.gradients.devices if facts.gradients else ()
    by_verdict = {
        verdict: ", ".join("CPU" if one.kind == "cpu" else one.device for one in devices if one.verdict == verdict)
        for verdict in ("trusted", "untrusted")
    }
    right, wrong = by_verdict["trusted"], by_verdict["untrusted"]
    return [
        say("back-propagation checked and right on: {devices}", devices=right) if right else None,
        say("back-propagation computes wrong on: {devices}", devices=wrong) if wrong else None,
    ], bool(wrong)


def _device(device: TorchDevice) -> str:
    return f"{device.kind}:{device.index}"


def _route(facts: Facts) -> _Seen:
    if facts.settings is None and facts.proxies is None:
        return _Seen("skipped", ())
    index = [
        one
        for one in facts.settings or ()
        if one.tool == "pip" and one.key in ("index-url", "index_url") and one.effective is not False
    ]
    proxies = tuple(dict.fromkeys(proxy.url for proxy in facts.proxies or ()))
    parts = [
        say("pip index: {url}", url=index[-1].value) if index else say("pip uses its default index"),
        say("proxy: {proxies}", proxies=", ".join(proxies)) if proxies else say("no proxy"),
    ]
    return _Seen("ok", (_line(parts),))


def _toolkit(facts: Facts) -> _Seen:
    nvcc = next((tool for tool in facts.tools or () if tool.name == "nvcc"), None)
    if nvcc is None or nvcc.version is None:
        return _Seen("skipped", ())
    return _Seen("ok", ((say("nvcc {version}", version=nvcc.version), say("wheels of PyTorch do not need it")),))


def _looks(facts: Facts) -> _Seen:
    dead = [seen for seen in facts.observations if seen.state in _DIED]
    return _Seen("unknown" if dead else "skipped", tuple(_said(seen) for seen in dead))


# Words ---------------------------------------------------------------------------------------------------------

_KINDS = {
    "venv": say("virtual environment"),
    "uv": say("uv environment"),
    "conda": say("conda environment"),
    "system": say("system Python"),
    "pyenv": say("pyenv"),
    "embedded": say("embedded Python"),
}
_FLAVOURS = {"open": say("open kernel module"), "proprietary": say("proprietary kernel module")}
_STATES = {
    "failed": say("{look} failed"),
    "timeout": say("{look} took too long"),
    "crashed": say("{look} crashed"),
}

_AREAS: tuple[tuple[str, Text, Callable[[Facts], _Seen]], ...] = (
    ("python", say("Python"), _python),
    ("gpu", say("GPU"), _gpu),
    ("driver", say("Driver"), _driver),
    ("torch", say("PyTorch"), _torch),
    ("compute", say("Compute"), _compute),
    ("training", say("Training"), _training),
    ("route", say("Downloads"), _route),
    ("toolkit", say("Toolkit"), _toolkit),
    ("looks", say("Looks"), _looks),
)
_AREA_OF_HUNDREDS = {"1": "python", "3": "torch", "4": "compute", "5": "training", "6": "route", "7": "toolkit"}


def _line(parts: Iterable[Text | None]) -> Line:
    return tuple(part for part in parts if part is not None)


def _plain(value: str | None) -> Text | None:
    return say("{value}", value=value) if value else None


def _memory(amount: int | None) -> Text | None:
    if amount is None:
        return None
    gib = amount / 2**30
    return say("{gib} GiB", gib=f"{gib:.0f}" if gib >= 10 or gib == int(gib) else f"{gib:.1f}")


def _capability(capability: str | None) -> Text | None:
    return say("compute capability {capability}", capability=capability) if capability else None


def _dead(facts: Facts, *looks: str) -> Observation | None:
    seen = (facts.observation(look) for look in looks)
    return next((one for one in seen if one is not None and one.state in _DIED), None)


def _unknown(facts: Facts, *looks: str) -> _Seen:
    dead = _dead(facts, *looks)
    return _Seen("unknown" if dead else "skipped", (_line([say("not known"), _silent(dead) if dead else None]),))


def _silent(dead: Observation) -> Text:
    return say("the look `{look}` gave no answer", look=dead.look)


def _said(seen: Observation) -> Line:
    parts = [
        msgspec.structs.replace(_STATES[seen.state], values={"look": seen.look}),
        say("while it did: {stage}", stage=seen.stage) if seen.stage else None,
        _plain(seen.signal or seen.detail),
    ]
    return _line(parts)
