"""The machine in one line an area: what was seen there, and the worst finding about it. Shared by the faces."""

from collections.abc import Callable
from typing import Literal

import msgspec

from envcheck.model.base import Plain
from envcheck.model.facts import Facts, Observation, TorchDevice
from envcheck.model.report import SEVERITIES, Examination, Finding
from envcheck.model.text import Text, say
from envcheck.render.gpus import Line, cards, devices, gpu_lines, line_of

Mark = Literal["ok", "error", "warning", "info", "unknown", "skipped"]
_DIED = ("failed", "timeout", "crashed")
_MOST_LINES = 16
_ABOUT_GPUS = ("gpu", "mig", "unified-memory")
_COMPANIONS = ("torchvision", "torchaudio")


class Area(Plain, frozen=True):
    """One line of the overview (more when GPUs differ), with the codes of the findings about it."""

    name: Text
    mark: Mark
    lines: tuple[Line, ...]
    codes: tuple[str, ...]


class _Seen(Plain, frozen=True):
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
    return area.but(lines=(*area.lines[:_MOST_LINES], (say("and {count} more", count=more),)))


def area_of(finding: Finding) -> str:
    """The area that a finding belongs to: by the hundreds of its code, GPU and driver by its slug."""
    hundreds = finding.code[2:3]
    if hundreds == "2":
        return "gpu" if any(word in finding.slug for word in _ABOUT_GPUS) else "driver"
    return _AREA_OF_HUNDREDS.get(hundreds, "looks")


def _area(name: Text, seen: _Seen, found: list[Finding]) -> Area:
    codes = tuple(dict.fromkeys(one.code for one in found))
    ranks = [SEVERITIES.index(one.severity) for one in found]
    mark: Mark = seen.mark
    if ranks and (SEVERITIES[min(ranks)] != "info" or mark == "ok"):
        mark = SEVERITIES[min(ranks)]
    lines = seen.lines or (((say("see below"),),) if codes and mark in ("error", "warning") else ())
    return Area(name, mark, lines, codes)


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
    return _Seen("ok", (line_of(parts),))


def _libc(libc: str, version: str | None) -> Text | None:
    return None if libc == "none" else say("{libc} {version}", libc=libc, version=version or "")


def _gpu(facts: Facts) -> _Seen:
    lines = gpu_lines(facts)
    if lines:
        return _Seen("ok", tuple(lines))
    on_bus = cards(facts)
    parts = [say("on the PCI bus: {cards}", cards=on_bus) if on_bus else None]
    dead = _dead(facts, "nvml", "smi") if facts.nvidia.gpus is None else None
    if dead:
        return _Seen("unknown", (line_of([*parts, _error_of(facts, dead) or _silent(dead)]),))
    parts.append(say("no driver lists it") if _has_nvidia_card(facts) else None)
    if not on_bus and facts.nvidia.gpus is None and facts.pci is None:
        return _Seen("skipped", ((say("not known"),),))
    return _Seen("skipped", (line_of(parts) if on_bus else (say("none seen"),),))


def _error_of(facts: Facts, dead: Observation) -> Text | None:
    """What the driver answered in place of a list of GPUs."""
    status = next((one for one in facts.nvidia.statuses if one.look == dead.look), None)
    return say("the driver answers with an error: {name}", name=status.name or status.code) if status else None


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
        return _Seen("ok", (line_of(parts),))
    if facts.amd.rocm_version:
        return _Seen("ok", ((say("ROCm {version}", version=facts.amd.rocm_version),),))
    idle = _not_loaded(facts)
    if idle:
        return _Seen("skipped", (idle,))
    if nvidia.modules is None and nvidia.gpus is None and facts.pci is None:
        return _unknown(facts, "files", "nvml")
    return _Seen("skipped", ((say("no NVIDIA driver"),),) if _has_nvidia_card(facts) else ())


def _not_loaded(facts: Facts) -> Line:
    """A driver of which files are there, and no kernel module runs."""
    nvidia = facts.nvidia
    opened = [one for one in nvidia.libraries if one.path and not one.error and "/stubs/" not in one.path]
    if not any((nvidia.packages, nvidia.modeset_files, nvidia.smi_path, opened)):
        return ()
    version = next((one.value for one in nvidia.library_versions), None)
    loaded = any(module.loaded for module in nvidia.modules or () if module.name.startswith("nvidia"))
    return line_of(
        [
            say("{version}", version=version) if version else None,
            say("installed") if loaded or facts.host.wsl else say("installed, but its kernel module is not loaded"),
        ]
    )


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
    companions = [one for one in facts.packages or () if one.name in _COMPANIONS and one.version]
    parts += [say("{name} {version}", name=one.name, version=one.version) for one in companions]
    dead = _dead(facts, "torch") if torch.imported is None else None
    return _Seen("unknown" if dead else "ok", (line_of([*parts, _IMPORTS[dead.state] if dead else None]),))


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
    return _Seen("ok" if torch.cuda_available else "skipped", (line_of(parts),) if any(parts) else ())


def _training(facts: Facts) -> _Seen:
    torch = facts.torch
    tried = [("CPU", torch.cpu_kernel_ok), *((_device(one), one.kernel_ok) for one in torch.devices or ())]
    right = devices(name for name, well in tried if well)
    wrong = devices(name for name, well in tried if well is False)
    verified, broken = _verified(facts)
    if any(verified) and not wrong:
        step = None
    elif right and wrong:
        step = say("a small training step works on {right} and fails on {wrong}", right=right, wrong=wrong)
    elif wrong:
        step = say("a small training step fails on {devices}", devices=wrong)
    else:
        step = say("a small training step works on {devices}", devices=right) if right else None
    line = line_of((step, *verified))
    return _Seen("error" if wrong or broken else "ok", (line,)) if line else _Seen("skipped", ())


def _verified(facts: Facts) -> tuple[list[Text | None], bool]:
    """What verify-backprop (`--deep`) found, and whether a device computes wrong."""
    found = facts.gradients.devices if facts.gradients else ()
    by_verdict = {
        verdict: devices("CPU" if one.kind == "cpu" else one.device for one in found if one.verdict == verdict)
        for verdict in ("trusted", "untrusted")
    }
    right, wrong = by_verdict["trusted"], by_verdict["untrusted"]
    return [
        say("back-propagation was checked and is right on {devices}", devices=right) if right else None,
        say("back-propagation computes wrong on {devices}", devices=wrong) if wrong else None,
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
    return _Seen("ok", (line_of(parts),))


def _toolkit(facts: Facts) -> _Seen:
    nvcc = next((tool for tool in facts.tools or () if tool.name == "nvcc"), None)
    if nvcc is None or nvcc.version is None:
        return _Seen("skipped", ())
    return _Seen("ok", ((say("nvcc {version}", version=nvcc.version), say("wheels of PyTorch do not need it")),))


def _looks(facts: Facts) -> _Seen:
    """Looks that died; not those whose answer was an error, which stands in its own line."""
    answered = {status.look for status in facts.nvidia.statuses}
    answered |= {"torch"} if facts.torch.imported is False else set()
    died = (one for one in facts.observations if one.state in _DIED)
    dead = [one for one in died if one.state != "failed" or one.look not in answered]
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
_IMPORTS = {
    "failed": say("its import failed"),
    "timeout": say("its import did not end"),
    "crashed": say("its import crashed"),
}
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


def _dead(facts: Facts, *looks: str) -> Observation | None:
    seen = (facts.observation(look) for look in looks)
    return next((one for one in seen if one is not None and one.state in _DIED), None)


def _unknown(facts: Facts, *looks: str) -> _Seen:
    dead = _dead(facts, *looks)
    return _Seen("unknown" if dead else "skipped", (line_of([say("not known"), _silent(dead) if dead else None]),))


def _silent(dead: Observation) -> Text:
    return say("no answer from {look}", look=dead.look)


def _said(seen: Observation) -> Line:
    parts = [
        msgspec.structs.replace(_STATES[seen.state], values={"look": seen.look}),
        say("while it did: {stage}", stage=seen.stage) if seen.stage else None,
        say("{value}", value=seen.signal or seen.detail) if seen.signal or seen.detail else None,
    ]
    return line_of(parts)
