"""EC2xx: versions of the driver: of its parts among each other, and against torch's CUDA."""

from collections.abc import Iterator

from envcheck.catalogue.software import limit
from envcheck.diagnosis import exhibits, remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.common import NO_CUDA
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.machine import Said
from envcheck.diagnosis.misfit import misfits
from envcheck.model.report import Confidence, Evidence, Finding, Fix
from envcheck.model.text import Text, say
from envcheck.model.versions import at_least, cuda_of_int, numbers, same_release


@check(
    "EC205",
    "driver-library-mismatch",
    cause="driver_lib_mismatch",
    needs=("driver_answered",),
    hears=("driver_lib_mismatch", "dso_mismatch", "nvml_init_asserted"),
    explains=(*NO_CUDA, "EC224", "EC225", "EC213", "EC904"),
)
def driver_library_mismatch(this: Check, case: Case) -> Iterator[Finding]:
    """The driver's libraries and its kernel module are of different versions.

    What it means: the files on disk are of one driver version, the module in the kernel is of another. They refuse
    to work together: nvidia-smi says "Driver/library version mismatch" (NVML error 18).

    Common causes: an update, often an unattended one, replaced the driver, and the machine was not restarted since;
    in a container: the image brings driver libraries of its own.

    What to do: restart the machine. In a container, take the driver packages out of the image.
    """
    told, status = _said_apart(case), case.nvml_status(18)
    module, library = _versions_apart(case)
    apart = bool(module and library) and not case.listed and not case.cuda_available
    asserted = case.said("nvml_init_asserted") if case.pasted and not case.listed else ()
    compat = case.said("forward_compat_804") if apart and not case.in_container else ()  # what a newer libcuda tries
    refused = case.pasted and case.said("libcuda_mismatch_803") and not told and not status  # CUDA says it itself
    if case.facts.host.wsl or refused or not (told or status or apart or asserted):
        return
    seen = exhibits.sightings("nvidia.driver_versions", case.facts.nvidia.driver_versions)
    seen += exhibits.sightings("nvidia.library_versions", case.facts.nvidia.library_versions)
    title = say("The NVIDIA libraries and the kernel module are of different versions")
    if module and library:
        title = say(
            "The NVIDIA libraries are {library}, but the kernel module is {module}", library=library, module=module
        )
    yield this.finding(
        title,
        evidence=(*seen[:4], *((exhibits.status(status),) if status else ()), *heard(told or compat or asserted)),
        fixes=_bring_together(case),
        confidence="certain" if told or status or compat else "likely" if apart else "possible",
    )


def _said_apart(case: Case) -> Said:
    """What NVML, the kernel or TensorFlow says; CUDA's own errors 803 and 804 have checks of their own."""
    compat = any("compat" in (one.path or "") for one in case.libraries("libcuda"))
    refused = (case.in_container or compat) and case.said("forward_compat_804")
    beside = () if refused or case.said("libcuda_mismatch_803") else case.said("dso_mismatch")
    return case.said("driver_lib_mismatch") or beside


def _versions_apart(case: Case) -> tuple[str | None, str | None]:
    """The module's and the libraries' version when they differ."""
    nvidia = case.facts.nvidia
    groups = [found for _, found in _said_apart(case)]
    module = next((found["module"] for found in groups if "module" in found), case.driver_version)
    library = next((found["library"] for found in groups if "library" in found), None)
    library = library or next((one.value for one in nvidia.library_versions if one.look != "libcuda"), None)
    if module is None or library is None or same_release(module, library):
        return None, None
    return module, library


def _bring_together(case: Case) -> tuple[Fix, ...]:
    if case.in_container:
        return (
            remedies.step(say("Take NVIDIA's driver packages out of the image: the host's are mounted into it")),
            *remedies.give_container_gpus(case),
            remedies.step(say("If the host itself shows the mismatch, restart the host"), alternative=True),
        )
    if case.facts.host.os == "windows":
        return remedies.install_driver(case)
    reload = "sudo rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia && sudo modprobe nvidia"
    return (
        remedies.reboot(case),
        remedies.line(say("With no program on the GPU, load the module anew"), reload, alternative=True),
    )


@check(
    "EC206",
    "driver-too-old",
    cause="driver_too_old",
    needs=("wheel_cuda", "driver_answered"),
    hears=("driver_too_old",),
    explains=(*NO_CUDA, "EC207", "EC223", "EC404", "EC410"),
)
def driver_too_old(this: Check, case: Case) -> Iterator[Finding]:
    """The driver is too old for this build of torch.

    What it means: every CUDA version needs a driver of at least some version. Within CUDA 11 and later an older
    driver of the same major version will do; below that, CUDA does not start.

    Common causes: a plain install brought the newest CUDA, and the driver is some years old; a container image is
    newer than the host.

    What to do: install the build of torch that suits the driver, or update the driver. The CUDA toolkit (nvcc) does
    not matter for it.
    """
    told = case.said("driver_too_old")
    refused = case.pasted and any("refused" in groups for _, groups in told)  # an image beside others that start
    if (case.cuda_available and not refused) or case.facts.host.jetson or case.has_nvidia is False:
        return
    if case.before_all_builds and (misfits(case) or not case.cards):  # no driver helps, as EC211 says
        return
    cuda = case.wheel_cuda
    minimum = case.catalogue.minimum_driver(cuda, case.driver_os or "linux") if cuda else None
    if not told and not _is_older(case, cuda, minimum):
        return
    found = next((cuda_of_int(int(groups["found"])) for _, groups in told if "found" in groups), None)
    have = case.driver_version or case.cuda_driver_version or found
    other = told_elsewhere(case)
    bare = not any(groups for _, groups in told) and case.driver_version is None
    sure: Confidence = "certain" if (told and not bare) or (case.driver_version and case.build_cuda) else "likely"
    if (other and case.said("about_a_container")) or (bare and case.said("container_no_gpu")):
        return
    yield this.finding(
        _too_old(cuda, have, minimum),
        evidence=(*_driver_evidence(case), *heard(told)),
        fixes=_build_or_driver(case, minimum),
        confidence="possible" if case.pasted and (other or (bare and cuda is None and have is None)) else sure,
    )


def told_elsewhere(case: Case) -> Said:
    """An insufficient driver, told of another place than the driver that is shown: a container that was given none.

    Where no CUDA version is known, the driver's own major version counts: all that is built for it runs.
    """
    said = case.said("driver_too_old") if case.driver_version and case.pasted else ()
    told = tuple(one for one in said if "nsufficient" in one[0].text)  # CUDA's own words, not those of docker's hook
    if not told or len(told) < len(said) or any(groups.get("found") or groups.get("have") for _, groups in told):
        return ()
    os = case.driver_os or "linux"
    own = case.catalogue.cuda_of_driver(case.driver_version or "", os)
    family = f"{own.partition('.')[0]}.0" if own and at_least(own, limit("compatible_family")) else None
    cuda = case.wheel_cuda or family
    minimum = case.catalogue.minimum_driver(cuda, os) if cuda else None
    return told if minimum and at_least(case.driver_version or "0", minimum) else ()


def _is_older(case: Case, cuda: str | None, minimum: str | None) -> bool:
    """Whether the driver is known to be below `minimum`; by its CUDA version when its own is not known."""
    if minimum is None or cuda is None:
        return False
    if case.driver_version:
        return not at_least(case.driver_version, minimum)
    api = case.cuda_driver_version
    if api is None or at_least(api, ".".join(cuda.split(".")[:2])):
        return False
    return case.catalogue.minimum_driver(api, case.driver_os or "linux") != minimum


def _too_old(cuda: str | None, have: str | None, minimum: str | None) -> Text:
    if have and minimum:
        text = "The NVIDIA driver ({have}) is too old for CUDA {cuda}, which needs {minimum}"
        return say(text, have=have, cuda=cuda, minimum=minimum)
    if have and numbers(have) < (100,):
        return say("The NVIDIA driver (CUDA {have}) is too old for this build of torch", have=have)
    if have:
        return say("The NVIDIA driver ({have}) is too old for this build of torch", have=have)
    return say("The NVIDIA driver is too old for this build of torch")


def _driver_evidence(case: Case) -> tuple[Evidence, ...]:
    nvidia = case.facts.nvidia
    seen = exhibits.sightings("nvidia.driver_versions", nvidia.driver_versions[:1])
    seen += exhibits.sightings("nvidia.cuda_versions", nvidia.cuda_versions[:1])
    return (*seen, fact("torch.cuda", case.build_cuda, case.facts.torch.look)) if case.build_cuda else seen


def _build_or_driver(case: Case, minimum: str | None) -> tuple[Fix, ...]:
    """The build that suits the driver first; where none does, the driver."""
    driver = remedies.install_driver(case, minimum)
    plan = case.plan
    if plan is not None and plan.build is None:
        return driver
    return (*remedies.reinstall_torch(case), *remedies.otherwise(*driver))


@check(
    "EC207",
    "driver-of-older-release",
    severity="warning",
    cause="driver_too_old",
    needs=("kernels", "driver_version", "build_cuda"),
    hears=("ptx_toolchain",),
    explains=("EC404",),
)
def driver_of_older_release(this: Check, case: Case) -> Iterator[Finding]:
    """The driver is older than the CUDA release that torch was built with.

    What it means: within one major version of CUDA an older driver runs newer builds, with one limit: it cannot
    compile their PTX. That matters for GPUs that the build holds only PTX for, and for extensions that bring PTX.

    Common causes: the driver is of an earlier release of the same CUDA major version.

    What to do: nothing while your programs run. If one says "the provided PTX was compiled with an unsupported
    toolchain", update the driver.
    """
    told = case.said("ptx_toolchain")
    if case.facts.host.jetson:
        return
    exact = case.catalogue.exact_driver(case.build_cuda, case.driver_os or "linux") if case.build_cuda else None
    older = bool(exact and case.driver_version and not at_least(case.driver_version, exact))
    minimum = case.catalogue.minimum_driver(case.build_cuda, case.driver_os or "linux") if case.build_cuda else None
    runs = bool(older and minimum and at_least(case.driver_version or "0", minimum))
    if not told and not (runs and _by_ptx_only(case)):
        return
    have, cuda = case.driver_version or "?", case.build_cuda or "?"
    title = say("The driver ({have}) runs CUDA {cuda}, but is too old to compile its PTX", have=have, cuda=cuda)
    if told:
        title = say("The NVIDIA driver is too old to compile the PTX that a program brings")
    yield this.finding(
        title,
        evidence=(*_driver_evidence(case), *heard(told)),
        fixes=remedies.install_driver(case, exact),
        severity="error" if told else "warning",
    )


def _by_ptx_only(case: Case) -> bool:
    """Whether a GPU that was not seen to work has nothing but PTX in this build."""
    runs, kernels = case.catalogue.runs, case.kernels or ()
    for card in case.cards:
        fits = [kernel for kernel in kernels if card.capability and runs(kernel, card.capability)]
        if fits and not card.kernel_ok and all(kernel.startswith("compute_") for kernel in fits):
            return True
    return False


CHECKS = (driver_library_mismatch, driver_too_old, driver_of_older_release)
