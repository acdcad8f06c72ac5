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
    gpu = amd_seen(case)
    known = has_cuda(case)
    asked_for = rocm_asked(case)
    rocm = case.facts.amd.rocm_version if case.pasted else None
    if gpu is not None and known is not None and nvidia_seen(case) is None:
        confidence: Confidence = "certain"
        shown: tuple[Evidence, ...] = (gpu, fact("torch.version", torch.version or "?", torch.look))
    elif (
        (gpu or asked_for or rocm or case.said("amd_variables")) and nvidia_seen(case) is None and _misses_nvidia(case)
    ):
        confidence = "likely"
        shown = (*((gpu,) if gpu else ()), *_misses_nvidia(case))
        shown += (fact("amd.rocm_version", rocm, "text"),) if rocm else ()
        shown += (fact("messages", asked_for, "text"),) if asked_for else ()
        shown += heard(case.said("amd_variables"), 1)
    elif lost:
        confidence, shown = "likely", heard(lost, 1)
    elif gpu is not None and case.pasted and known is None and not nvidia_seen(case) and _brought(case):
        confidence, shown = "likely", (gpu, *_brought(case))
    elif gpu is not None and case.pasted and known is None and case.cuda_available is False and not nvidia_seen(case):
        confidence, shown = "possible", (gpu,)
    elif asked_for and _kept(case):
        confidence = "likely"
        shown = (fact("messages", asked_for, "text"), *heard(_kept(case), 1))
    elif asked_for and case.said("cuda_packages_installed"):
        confidence = "likely"
        shown = (fact("messages", asked_for, "text"), *heard(case.said("cuda_packages_installed"), 1))
    elif asked_for and case.pasted and never_on_rocm_index(case, asked_for):
        confidence = "likely"
        shown = (fact("messages", asked_for, "text"), fact("torch.version", torch.version or "?", torch.look))
    elif asked_for and (case.cuda_available is False or known is False):
        confidence = "possible" if known is None else "likely"
        shown = (fact("messages", asked_for, "text"),)
    elif asked_for and _beside_default(case, asked_for):
        confidence, shown = "possible", (fact("messages", asked_for, "text"),)
    else:
        return
    yield this.finding(
        say("This PyTorch is no ROCm build, and an AMD GPU needs one"),
        why=say("A ROCm index that has no wheel for this Python falls back to the default index without a word"),
        evidence=shown,
        fixes=remedies.reinstall_torch(case),
        confidence=confidence,
    )


def _brought(case: Case) -> tuple[Evidence, ...]:
    """Wheels of NVIDIA's libraries beside a torch without a tag: it is the CUDA build of the default index."""
    torch = package(case, "torch")
    if torch is None or local(torch.version):
        return ()
    rows = (one for one in case.facts.packages or () if one.name.startswith("nvidia-") and "-cu1" in one.name)
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
