"""What shows that a ROCm build is needed or was asked for, and whether its index has what is installed. Pure."""

from envcheck.diagnosis.case import Case
from envcheck.diagnosis.exhibits import fact as saw
from envcheck.diagnosis.packages import local
from envcheck.diagnosis.torch_build import asked
from envcheck.model.patterns import regex
from envcheck.model.report import Evidence
from envcheck.model.versions import numbers

_ROCM_INDEX = regex(
    r"/whl/(?:nightly/|test/)?rocm(?P<version>[\d.]*\d)?"
    r"|\b(?:image:|FROM|docker run\b.{0,200})\s+[\w./:-]{0,120}\brocm\b|--device[= ]/dev/kfd\b"
    r"|^\s{0,4}[\w.-]{2,40}/[\w.-]{2,60}:[\w.-]{0,30}\brocm"
)
"""An index of ROCm builds, or an image whose name says that it is made for ROCm."""


def amd_seen(case: Case) -> Evidence | None:
    """The sign of an AMD GPU that some build of torch has kernels for."""
    facts = case.facts
    if case.pasted and (facts.amd.gpus or case.amd_pci):
        name = facts.amd.gpus[0].name or facts.amd.gpus[0].gfx if facts.amd.gpus else None
        return saw("amd.gpus", name or "AMD", "text")
    if not facts.amd.gpus:
        return None
    kernels = {
        kernel for build in case.catalogue.builds() if build.variant.startswith("rocm") for kernel in build.capabilities
    }
    for gpu in facts.amd.gpus or ():
        if gpu.gfx and any(case.catalogue.runs(kernel, gpu.gfx) for kernel in kernels):
            return saw("amd.gpus", f"{gpu.name or 'AMD GPU'} ({gpu.gfx})", "files")
    return None


def rocm_asked(case: Case) -> str | None:
    """Where ROCm wheels were asked for."""
    return asked(case, _ROCM_INDEX)


def never_on_rocm_index(case: Case, line: str) -> bool:
    """Whether the index of ROCm builds that `line` asks never had the release of torch that is installed."""
    index = _ROCM_INDEX.search(line)
    have = numbers(case.torch_version or "")
    if not index or not index["version"] or not have or local(case.torch_version):
        return False
    builds = [one for one in case.catalogue.builds() if one.variant == f"rocm{index['version']}"]
    return bool(builds) and not any(numbers(one.torch)[: len(have)] == have for one in builds)
