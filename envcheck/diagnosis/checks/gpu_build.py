"""EC2xx: GPUs against the kernels that torch's build holds."""

from collections.abc import Iterator

import msgspec

from envcheck.catalogue.remedies import override
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.common import NO_CUDA, cards_on_bus, wish
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.misfit import Direction, Misfit, misfits, older_than_newest_build
from envcheck.model.report import Evidence, Finding, Fix
from envcheck.model.text import Text, say

_WARNINGS = (
    "capability_not_in_build",
    "capability_out_of_range",
    "no_kernel_image",
    "kernels_not_compiled",
    "gpu_program_failed",
)


def _found(this: Check, case: Case, direction: Direction, title: Text) -> Iterator[Finding]:
    those = [one for one in misfits(case) if one.direction == direction]
    if not those:
        return
    first = those[0]
    yield this.finding(
        msgspec.structs.replace(title, values={"name": str(first.name), "capability": str(first.capability)}),
        why=_why(case, first),
        evidence=tuple(item for one in those for item in one.evidence)[:6] + heard(case.said("no_kernel_image"), 1),
        fixes=_fixes(case, those),
        severity="error" if _stops_work(case, those) else "warning",
        confidence=first.confidence,
    )


def _stops_work(case: Case, those: list[Misfit]) -> bool:
    """Whether no GPU is left to compute on, or the first one, which programs take, is among them and failed."""
    failed = {card.number for card in case.cards if card.kernel_ok is False}
    meant = {one.name for one in those}
    covered = [card for card in case.cards if card.name in meant]  # those of one name are told once
    if len(case.cards) <= max(len(those), len(covered)) or 0 in failed & {one.number for one in those}:
        return True
    works = any(card.kernel_ok for card in case.cards)
    return bool(failed or case.said("no_kernel_image")) and not works


def _why(case: Case, one: Misfit) -> Text | None:
    build = case.plan.build if case.plan else None
    works = build and any(case.catalogue.runs(kernel, one.capability) for kernel in build.capabilities)
    kernels = " ".join(one.kernels) or "?"
    if build and works:
        label = f"torch {build.torch}{build.local or ' ' + build.variant}"
        return say("the build holds {kernels}; {label} has kernels for it", kernels=kernels, label=label)
    return say("the build holds {kernels}", kernels=kernels) if one.kernels else None


def _fixes(case: Case, those: list[Misfit]) -> tuple[Fix, ...]:
    if case.before_all_builds:
        return remedies.leave_gpu(case)
    numbers = {one.number for one in those}
    good = [str(card.number) for card in case.cards if card.number not in numbers]
    hide = remedies.otherwise(remedies.see_gpus(case, ",".join(good))) if good and None not in numbers else ()
    return (*remedies.reinstall_torch(case), *hide)


@check(
    "EC212",
    "gpu-too-new",
    cause="gpu_too_new_for_wheel",
    needs=("kernels", "card_list"),
    hears=(*_WARNINGS, "gpu_newer_than_toolkit"),
    explains=("EC404", "EC207"),
)
def gpu_too_new(this: Check, case: Case) -> Iterator[Finding]:
    """The GPU is newer than this build of torch.

    What it means: a build of torch holds machine code for a list of GPU architectures (compute capabilities). This
    GPU is newer than all of them. torch.cuda.is_available() may say True, but the first computation fails with "no
    kernel image is available for execution on the device".

    Common causes: an old release is pinned; the build was made with a CUDA version from before the GPU.

    What to do: install a build whose list has the GPU's architecture. Another driver does not help.
    """
    found = list(
        _found(this, case, "too_new", say("{name} (compute capability {capability}) is newer than this build of torch"))
    )
    yield from found
    told = case.said("gpu_newer_than_toolkit")
    if told and not found and not _dropped(case):
        yield this.finding(
            say("The GPU is newer than the CUDA version that is used here"),
            evidence=heard(told, 1),
            fixes=remedies.reinstall_torch(case),
            confidence="possible" if "sm" in told[0][1] or _served(case) else "likely",
        )


def _served(case: Case) -> bool:
    """Whether this build has kernels for the GPUs: then it is another's toolkit that does not know one."""
    return bool(case.kernels) and any(card.capability for card in case.cards) and not misfits(case)


@check(
    "EC211",
    "gpu-too-old",
    cause="gpu_too_old_for_wheel",
    needs=("kernels_to_compare", "cards_to_compare"),
    hears=(*_WARNINGS, "gpu_newer_than_toolkit"),
    explains=("EC404", "EC207", "EC202", "EC203", "EC213", *NO_CUDA),
)
def gpu_too_old(this: Check, case: Case) -> Iterator[Finding]:
    """The GPU is older than what this build of torch supports.

    What it means: newer builds leave out old GPU architectures (compute capabilities). This build has no machine
    code for this GPU. torch.cuda.is_available() may say True, but the first computation fails with "no kernel image
    is available for execution on the device".

    Common causes: the newest build was installed on a GPU of an older generation; a release often has several
    builds, and the one with the lower CUDA version serves older GPUs; a card of a generation that no build serves,
    which a driver does not change either.

    What to do: install a build whose list has the GPU's architecture, mostly one for a lower CUDA version or an
    older release. A GPU that no build serves can still sit beside the CPU, on which torch computes.
    """
    title = say("{name} (compute capability {capability}) is too old for this build of torch")
    if case.before_all_builds:
        title = say("{name} (compute capability {capability}) is too old for the official builds of torch")
    found = list(_found(this, case, "too_old", title))
    yield from found
    if not found and not case.cards and case.before_all_builds:
        yield this.finding(
            say("The NVIDIA GPU of this machine is too old for the official builds of torch"),
            evidence=cards_on_bus(case),
            fixes=remedies.leave_gpu(case),
            severity=wish(case),
            confidence="likely",
        )
    elif not found and _dropped(case):
        yield this.finding(
            say("The CUDA version that is used here no longer serves this GPU"),
            evidence=heard(case.said("gpu_newer_than_toolkit"), 1),
            fixes=remedies.reinstall_torch(case),
            confidence="likely",
        )


def _dropped(case: Case) -> bool:
    """Whether a compiler refused an architecture that is older than all that the newest build serves."""
    told = [groups["sm"] for _, groups in case.said("gpu_newer_than_toolkit") if "sm" in groups]
    return bool(told) and older_than_newest_build(case, f"{told[0][:-1]}.{told[0][-1]}")


@check(
    "EC247",
    "false-capability-warning",
    severity="info",
    cause="healthy_false_warning",
    hears=_WARNINGS,
    needs=("kernels",),
)
def false_capability_warning(this: Check, case: Case) -> Iterator[Finding]:
    """A warning about the GPU's architecture that may be ignored.

    What it means: torch warns that the GPU's compute capability lies beyond its list, but code for a lower minor
    version of the same architecture runs on it: a GB10 (12.1) runs kernels for 12.0.

    Common causes: a GPU that came out after the release.

    What to do: nothing. A newer release does not warn.
    """
    for one in misfits(case):
        if one.direction == "fits":
            yield this.finding(
                say(
                    "The warning about {name} (compute capability {capability}) may be ignored",
                    name=one.name,
                    capability=one.capability,
                ),
                why=say("kernels for a lower minor version of the same architecture run on it")
                if one.kernels
                else say("it reads the numbers of an AMD GPU as CUDA's"),
                evidence=one.evidence,
            )
            return


@check(
    "EC235",
    "amd-gpu-without-kernels",
    cause="rocm_arch_missing",
    needs=("kernels", "amd_targets"),
    hears=("rocm_arch_missing", "crashed_on_gpu"),
    explains=("EC404", "EC401"),
)
def amd_gpu_without_kernels(this: Check, case: Case) -> Iterator[Finding]:
    """This build of torch has no code for the AMD GPU.

    What it means: a ROCm build holds machine code for a list of targets (gfx names). This GPU's target is not in
    it, and the first computation fails (hipErrorNoBinaryForGpu, invalid device function).

    Common causes: a consumer or integrated GPU that ROCm's official builds leave out; a release that is older than
    the GPU, or that dropped it.

    What to do: install a build that has the target. For some families, HSA_OVERRIDE_GFX_VERSION lets the GPU run
    the kernels of a close relative; AMD does not support that.
    """
    told = case.said("rocm_arch_missing")
    crashed = case.said("crashed_on_gpu") if case.pasted and case.cuda_available else ()
    kernels = case.kernels or (case.catalogue.newest_rocm_targets() if crashed else ())
    named = [case.catalogue.target_of(one.name or "") for one in case.facts.amd.gpus or ()] if crashed else []
    known = case.amd_targets or [target for target in named if target]
    targets = [gfx for gfx in known if not any(case.catalogue.runs(one, gfx) for one in kernels)]
    overridden = case.variable("HSA_OVERRIDE_GFX_VERSION") and not told and not crashed
    if case.build_kind not in (None, "rocm") or overridden or not (told or targets):
        return
    works = any(card.kernel_ok for card in case.cards)
    if not told and (not kernels or (works and all(card.kernel_ok is not False for card in case.cards))):
        return
    name = next((groups["gfx"] for _, groups in told if "gfx" in groups), None) or (targets or ["?"])[0]
    title = say("This build of torch has no kernels for the AMD GPU ({gfx})", gfx=name)
    yield this.finding(
        title,
        evidence=(*heard(told or crashed, 1), *_amd_evidence(case, targets)),
        fixes=_amd_fixes(case, name),
        severity="warning" if works else "error",
        confidence="certain" if told else "possible" if crashed else "likely",
    )


def _amd_evidence(case: Case, targets: list[str]) -> tuple[Evidence, ...]:
    kernels = (fact("torch.arch_list", " ".join(case.kernels), "torch"),) if case.kernels else ()
    return (*(fact("amd.gpus", gfx, "kfd") for gfx in targets[:2]), *kernels)


def _amd_fixes(case: Case, gfx: str) -> tuple[Fix, ...]:
    value = override(gfx)
    relative = (remedies.set_variable(case, "HSA_OVERRIDE_GFX_VERSION", value),) if value else ()
    if relative and (case.plan is None or case.plan.build is None):
        return relative
    return (*remedies.reinstall_torch(case), *remedies.otherwise(*relative))


CHECKS = (gpu_too_new, gpu_too_old, false_capability_warning, amd_gpu_without_kernels)
