"""EC302, EC326: a build of torch that was made for another vendor's GPU."""

from collections.abc import Iterator

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.wrong_build import SYMPTOMS
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.machine import Said
from envcheck.diagnosis.packages import local, package
from envcheck.diagnosis.rocm_build import amd_seen, never_on_rocm_index, rocm_asked
from envcheck.diagnosis.torch_build import has_cuda, nvidia_seen
from envcheck.model.patterns import regex
from envcheck.model.report import Confidence, Evidence, Finding
from envcheck.model.text import say

_NVIDIA_LIBRARY = regex(r"nvidia-[\w-]{2,40}-cu\d{2}$")
"""Names of the wheels in which NVIDIA's libraries come, each with the major version of its CUDA."""
_BESIDE = regex(r"--extra-index-url[ =]\S{0,80}rocm")


@check(
    "EC326",
    "rocm-wrong-wheel",
    cause="rocm_wrong_wheel",
    explains=(*SYMPTOMS, "EC202", "EC206", "EC301", "EC305", "EC321", "EC322", "EC323"),
    needs=("build_shown",),
    hears=(
        "driver_missing",
        "driver_too_old",
        "already_satisfied",
        "rocm_build_replaced",
        "rocm_build_uninstalled",
        "cuda_packages_installed",
        "amd_program",
    ),
)
def rocm_wrong_wheel(this: Check, case: Case) -> Iterator[Finding]:
    """An AMD GPU, and a PyTorch build without ROCm.

    What it means: an AMD GPU works with ROCm builds only. This build was made for NVIDIA GPUs or for the CPU.

    Common causes: the default index was used; the ROCm index was given as `--extra-index-url` and had no wheel for
    this Python or did not exist, so that pip silently took the build of the default index.

    What to do: install from the index of a ROCm build as the only index, with a Python that it has wheels for.
    """
    torch = case.facts.torch
    gone = case.said("rocm_build_uninstalled") if _misses_nvidia(case) or case.said("not_compiled_with_cuda") else ()
    lost = case.said("rocm_build_replaced") or gone
    replaced = bool(lost) or (
        case.pasted and bool(_misses_nvidia(case))
    )  # a ROCm build is listed, and a CUDA build complains
    if (case.build_kind in ("rocm", "xpu") and not replaced) or torch.xpu or case.torch_installed is False:
        return
    found = _at_work(case) or (("likely", heard(lost, 1)) if lost else None) or _by_card(case) or _by_wish(case)
    if found is None:
        return
    confidence, shown = found
    yield this.finding(
        say("This PyTorch is no ROCm build, and an AMD GPU needs one"),
        why=say("A ROCm index that has no wheel for this Python falls back to the default index without a word"),
        evidence=shown,
        fixes=remedies.reinstall_torch(case),
        confidence=confidence,
    )


_Found = tuple[Confidence, tuple[Evidence, ...]]


def _at_work(case: Case) -> _Found | None:
    """A build without ROCm where an AMD GPU is: its version, its complaint, or a program that is made for AMD."""
    gpu, known, torch = amd_seen(case), has_cuda(case), case.facts.torch
    if nvidia_seen(case) is not None:
        return None
    if gpu is not None and known is not None:
        return "certain", (gpu, fact("torch.version", torch.version or "?", torch.look))
    rocm = case.facts.amd.rocm_version if case.pasted else None
    asked_for, variables = rocm_asked(case), heard(case.said("amd_variables"), 1)
    if (gpu or asked_for or rocm or variables) and _misses_nvidia(case):
        shown = (*((gpu,) if gpu else ()), *_misses_nvidia(case))
        shown += (fact("amd.rocm_version", rocm, "text"),) if rocm else ()
        shown += (fact("messages", asked_for, "text"),) if asked_for else ()
        return "likely", (*shown, *variables)
    missed = known is not None or case.cuda_available is False
    if case.pasted and case.said("amd_program") and missed and not case.cuda_available:
        return "likely", heard(case.said("amd_program"), 1)
    return None


def _by_card(case: Case) -> _Found | None:
    """An AMD GPU, and a build of which nothing is said."""
    gpu = amd_seen(case)
    if gpu is None or not case.pasted or has_cuda(case) is not None or nvidia_seen(case):
        return None
    if _brought(case):
        return "likely", (gpu, *_brought(case))
    return ("possible", (gpu,)) if case.cuda_available is False else None


def _by_wish(case: Case) -> _Found | None:
    """ROCm was asked for, and something else is there."""
    asked_for, known, torch = rocm_asked(case), has_cuda(case), case.facts.torch
    if asked_for is None:
        return None
    line = fact("messages", asked_for, "text")
    kept = _kept(case) or case.said("cuda_packages_installed")
    if kept:
        return "likely", (line, *heard(kept, 1))
    if case.pasted and never_on_rocm_index(case, asked_for):
        return "likely", (line, fact("torch.version", torch.version or "?", torch.look))
    if case.cuda_available is False or known is False:
        return ("possible" if known is None else "likely"), (line,)
    return ("possible", (line,)) if _beside_default(case, asked_for) else None


def _brought(case: Case) -> tuple[Evidence, ...]:
    """Wheels of NVIDIA's libraries beside a torch without a tag: it is the CUDA build of the default index."""
    torch = package(case, "torch")
    if torch is None or local(torch.version):
        return ()
    rows = (one for one in case.facts.packages or () if _NVIDIA_LIBRARY.match(one.name))
    return tuple(fact(f"packages[{one.name}]", one.version or "", "interpreter") for one in rows)[:2]


def _beside_default(case: Case, line: str) -> bool:
    """Whether the ROCm index stands beside the default one and no release is pinned: the newer one wins."""
    quiet = case.build_kind is None and case.cuda_available is None
    failed = any(one.kind == "error" for one in case.facts.messages)
    return case.pasted and quiet and not failed and _BESIDE.search(line) is not None and "torch==" not in line


def _kept(case: Case) -> Said:
    """Pip kept the torch that was there although an index of ROCm builds was asked."""
    said = case.said("already_satisfied") if case.pasted else ()
    return tuple((message, groups) for message, groups in said if "rocm" not in groups.get("version", "rocm"))


def _misses_nvidia(case: Case) -> tuple[Evidence, ...]:
    """A CUDA build's complaint about NVIDIA's driver, which no ROCm build utters."""
    return heard(case.said("driver_missing") or case.said("driver_too_old"), 1)


@check("EC302", "wrong-vendor", cause="wrong_vendor_build", explains=SYMPTOMS, needs=("build_kind",))
def wrong_vendor(this: Check, case: Case) -> Iterator[Finding]:
    """A PyTorch build for another vendor's GPU.

    What it means: the machine has an NVIDIA GPU, and the installed build was made for AMD (ROCm) or Intel (XPU).

    Common causes: the index of another variant was copied from a guide; an environment came from another machine.

    What to do: replace torch by a CUDA build.
    """
    torch = case.facts.torch
    made_for = (
        "ROCm"
        if torch.hip or (case.variant or "").startswith("rocm")
        else "XPU"
        if torch.xpu or case.variant == "xpu"
        else None
    )
    gpu = nvidia_seen(case)
    if made_for is None or gpu is None or case.facts.amd.gpus or torch.xpu_available:
        return
    yield this.finding(
        say("This PyTorch was built for {platform}, and the GPU is NVIDIA's", platform=made_for),
        evidence=(fact("torch.version", torch.version or torch.variant or made_for, torch.look), gpu[1]),
        fixes=remedies.reinstall_torch(case),
        confidence=gpu[0],
    )


CHECKS = (rocm_wrong_wheel, wrong_vendor)
