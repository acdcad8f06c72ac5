"""Which build of torch this is, and for which GPU it was wanted; why one has no CUDA, `cpu_build` says. Pure."""

import re

from envcheck.diagnosis.case import Case
from envcheck.diagnosis.exhibits import fact as saw
from envcheck.diagnosis.exhibits import pci
from envcheck.diagnosis.packages import conda_packages, local
from envcheck.model.patterns import regex
from envcheck.model.report import Confidence, Evidence

CUDA_INDEX = regex(
    r"/whl/(?:nightly/|test/)?cu\d{2,3}\b|pytorch-wheels/cu\d{2,3}\b"
    r"|\btorch(?:vision|audio)?(?:={1,3}|-)[\w.]{1,20}(?:\+|%2B)cu\d{2,3}\b"
)
_CONDA_SWITCHES = ("pytorch-mutex", "_pytorch_select")
"""Packages without files, whose build decides between CPU and CUDA."""
_CONDA_CPU = regex(r"(?:^|_)cpu(?:_|$)|^cpu")


def has_cuda(case: Case) -> bool | None:
    """Whether this torch was built with CUDA; None: the facts do not say."""
    tag = local(case.torch_version)
    gone = case.said("cuda_build_uninstalled") or case.said("cuda_build_replaced")
    if case.pasted and gone and (case.said("not_compiled_with_cuda") or case.said("default_windows_wheel")):
        return False  # what was listed before is gone
    if case.build_kind == "cuda" or tag.startswith("cu"):
        return True
    if case.build_kind or tag.startswith(("cpu", "rocm", "xpu")) or case.said("not_compiled_with_cuda"):
        return False
    return False if conda_cpu_packages(case) or _lacks_cuda_parts(case) else None


def _lacks_cuda_parts(case: Case) -> bool:
    """An extension did not find the libraries that every build with CUDA has."""
    said = case.said("cuda_extension_on_cpu_torch") if case.pasted else ()
    return any(groups["missing"] in ("libc10_cuda.so", "libtorch_cuda.so") for _, groups in said)


def nvidia_seen(case: Case) -> tuple[Confidence, Evidence] | None:
    """The sign of an NVIDIA GPU that torch could use, and how sure it is; None: no sign."""
    facts = case.facts
    if case.gpus:
        return "certain", saw("nvidia.gpus", case.gpus[0].name or case.gpus[0].uuid or "GPU 0", case.gpus[0].look)
    if is_jetson(case):
        return "certain", saw("host.jetson", facts.host.jetson_release or facts.host.kernel or "Jetson", "files")
    if case.in_container:
        return None
    card = next((one for one in case.nvidia_pci or () if one.driver != "vfio-pci"), None)
    if card is not None:
        return "likely", pci(card)
    version = case.driver_version or case.cuda_driver_version
    if case.gpus is None and case.pasted and version:
        return "likely", saw("nvidia.driver_versions", version, "text")
    return None


def some_build_serves(case: Case) -> bool:
    """Whether any official CUDA build for this system and Python has kernels for a listed GPU; True if unknown."""
    names = ((gpu.compute_capability, gpu.name) for gpu in case.gpus or ())
    found = [known or (case.catalogue.capability_of(name) if name else None) for known, name in names]
    capabilities = [one for one in found if one]
    if len(capabilities) < len(found) or not capabilities:
        return True
    python = ".".join((case.python_version or "").split(".")[:2])
    rows = (one for one in case.builds_here if one.cuda and (not python or python in one.pythons))
    kernels = {kernel for one in rows for kernel in one.capabilities}
    return any(case.catalogue.runs(kernel, one) for kernel in kernels for one in capabilities)


def is_jetson(case: Case) -> bool:
    """Whether this is a Jetson board."""
    host = case.facts.host
    integrated = any("(nvgpu)" in (gpu.name or "") for gpu in case.gpus or ())
    return bool(host.jetson) or "tegra" in (host.kernel or "") or integrated


def asked(case: Case, pattern: re.Pattern[str]) -> str | None:
    """The command, setting or line of an installer that `pattern` finds."""
    commands = (said.text for said in case.facts.messages)
    settings = (setting.value for setting in case.facts.settings or () if setting.tool in ("pip", "uv"))
    for text in (*commands, *settings):
        found = next((line for line in text.splitlines() if pattern.search(line)), None)
        if found is not None:
            return found.strip()
    return None


def conda_cpu_packages(case: Case) -> tuple[Evidence, ...]:
    """Packages of conda that make or mark a CPU build."""
    shown = []
    for one in conda_packages(case):
        cpu_torch = one.name in ("pytorch", "pytorch-cpu", "libtorch", "torchvision") and _CONDA_CPU.search(
            one.build or ""
        )
        if cpu_torch or one.name == "cpuonly" or (one.name in _CONDA_SWITCHES and "cpu" in (one.build or "")):
            words = (one.name, one.version, one.build, one.channel)
            shown.append(saw(f"packages[{one.name}]", " ".join(word for word in words if word), "interpreter"))
    return tuple(shown)
