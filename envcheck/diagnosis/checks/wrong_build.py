"""EC301, EC321 to EC325, EC327: torch imports, but it is not the build that this machine's GPU needs."""

from collections.abc import Iterator

from envcheck.catalogue.remedies import page
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.cpu_build import CpuBuild, cpu_build
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.rocm_build import amd_seen, rocm_asked
from envcheck.diagnosis.torch_build import CUDA_INDEX, asked, has_cuda, is_jetson, nvidia_seen, some_build_serves
from envcheck.model.report import CONFIDENCES, Confidence, Evidence, Finding, Fix, Severity
from envcheck.model.text import Text, say

SYMPTOMS = ("EC401",)


def _least(*confidences: Confidence) -> Confidence:
    return max(confidences, key=CONFIDENCES.index)


def _need(case: Case, build: CpuBuild) -> tuple[Severity, Confidence, tuple[Evidence, ...]] | None:
    """How much CUDA is missed here: a GPU is seen, or somebody asked for CUDA; None: nobody needs it."""
    wanted = (*case.said("not_compiled_with_cuda"), *case.said("cuda_extension_on_cpu_torch"))
    wanted = wanted or (case.said("cuda_build_uninstalled") if case.pasted and not case.cuda_available else ())
    gpu = nvidia_seen(case)
    if gpu is not None:
        confidence, evidence = gpu
        if not wanted and not case.pasted and not is_jetson(case) and not some_build_serves(case):
            return None
        if confidence != "certain" and not (wanted or case.pasted or case.driver_traces):
            return "info", "likely", (evidence,)
        return "error", _least(confidence, build.confidence), (evidence,)
    if wanted or (case.pasted and (asked(case, CUDA_INDEX) or case.cuda_was_missed)):
        return "error", build.confidence, heard(wanted, 1)
    if case.pasted and not case.cuda_available and amd_seen(case) is None and not rocm_asked(case):
        return "warning", "possible", ()  # nothing says that CUDA was missed
    return None


def _title(case: Case) -> Text:
    version = case.torch_version
    if nvidia_seen(case) is None:
        return say("This PyTorch is a build without CUDA")
    if version is None:
        return say("PyTorch is a build without CUDA, but this machine has an NVIDIA GPU")
    return say("PyTorch {version} is a build without CUDA, but this machine has an NVIDIA GPU", version=version)


def _cpu_build(this: Check, case: Case, why: Text, fixes: tuple[Fix, ...] = ()) -> Iterator[Finding]:
    """The finding of the check whose cause is why this build has no CUDA."""
    build = cpu_build(case)
    need = _need(case, build) if build is not None and build.cause == this.cause else None
    if build is None or need is None:
        return
    severity, confidence, evidence = need
    yield this.finding(
        _title(case),
        why=why,
        evidence=(*build.evidence, *(one for one in evidence if one not in build.evidence)),
        fixes=(*fixes, *remedies.reinstall_torch(case)),
        severity=severity,
        confidence=confidence,
    )


@check(
    "EC325",
    "jetson-generic-wheel",
    cause="jetson_generic_wheel",
    explains=(*SYMPTOMS, "EC305"),
    needs=("build_shown",),
    hears=("not_compiled_with_cuda", "cuda_extension_on_cpu_torch"),
)
def jetson_generic_wheel(this: Check, case: Case) -> Iterator[Finding]:
    """A generic wheel on a Jetson board.

    What it means: the board's GPU is integrated and needs builds that NVIDIA makes for its JetPack. The wheel that
    is installed was made for other aarch64 machines and holds no code for it.

    Common causes: `pip install torch` from an index that does not know Jetson; another package that depends on
    torch and replaced NVIDIA's wheel.

    What to do: remove torch and install the wheel that NVIDIA publishes for the JetPack release of this board, or
    use a container that NVIDIA made for it.
    """
    build = cpu_build(case)
    if build is None or build.cause != this.cause:
        return
    yield this.finding(
        say("This Jetson has a generic PyTorch wheel, which cannot use its GPU"),
        why=say("Only wheels that NVIDIA builds for JetPack hold code for the integrated GPU of a Jetson"),
        evidence=(
            fact("host.jetson", case.facts.host.jetson_release or case.facts.host.kernel or "Jetson"),
            *build.evidence,
        ),
        fixes=(
            remedies.command(case, say("Remove the generic wheel"), *remedies.pip(case, "uninstall", "-y", "torch")),
            remedies.step(say("Install NVIDIA's wheel for this JetPack: {url}", url=page("jetson"))),
        ),
        confidence=build.confidence,
    )


@check(
    "EC323",
    "cpu-build-conda",
    cause="cpu_build_conda",
    explains=SYMPTOMS,
    needs=("build_shown",),
    hears=("not_compiled_with_cuda", "cuda_extension_on_cpu_torch"),
)
def cpu_build_from_conda(this: Check, case: Case) -> Iterator[Finding]:
    """Conda chose a build without CUDA.

    What it means: the solver of conda was free to choose among CPU and CUDA builds of PyTorch and took one without
    CUDA. A `cudatoolkit` package beside it changes nothing.

    Common causes: the package `cpuonly` or a package that depends on it; a CUDA version for which this release has
    no build; channels that hold only CPU builds, such as a mirrored `pytorch` channel without `nvidia`; an
    environment that was solved on a computer without a GPU.

    What to do: ask for `pytorch-gpu` from conda-forge, which has no CPU builds, so that the solver has to say it
    when no CUDA build fits. Remove `cpuonly` first.
    """
    yield from _cpu_build(
        this,
        case,
        say("conda may choose a CPU build whenever the request does not exclude it"),
        _without_conda_build(case),
    )


def _without_conda_build(case: Case) -> tuple[Fix, ...]:
    """Take away what asks for CPU builds, and conda's torch too when pip's is to follow."""
    names = {one.name for one in case.facts.packages or ()}
    if not names & {"cpuonly", "pytorch"}:
        return ()
    by_pip = any("pip" in fix.argv for fix in remedies.reinstall_torch(case))
    wrong = [name for name in ("cpuonly", *(("pytorch",) if by_pip else ())) if name in names]
    what = say("Remove the packages that make it a CPU build")
    return (remedies.command(case, what, "conda", "remove", "-y", *wrong),) if wrong else ()


@check(
    "EC324",
    "cpu-wheel-aarch64",
    cause="cpu_wheel_aarch64",
    explains=SYMPTOMS,
    needs=("build_shown",),
    hears=("not_compiled_with_cuda", "cuda_extension_on_cpu_torch"),
)
def cpu_wheel_on_aarch64(this: Check, case: Case) -> Iterator[Finding]:
    """The aarch64 wheel of the default index has no CUDA.

    What it means: for Arm servers the default index long held a CPU build only; CUDA builds for aarch64 are on
    PyTorch's own index.

    Common causes: `pip install torch` on a Grace, GH200 or other Arm machine with an NVIDIA GPU.

    What to do: install from the index of a CUDA build.
    """
    yield from _cpu_build(this, case, say("The default index gave the aarch64 wheel, which has no CUDA"))


@check(
    "EC321",
    "cpu-wheel-cached",
    cause="cpu_wheel_pip_cache",
    explains=SYMPTOMS,
    needs=("build_shown",),
    hears=("not_compiled_with_cuda", "cuda_extension_on_cpu_torch"),
)
def cpu_wheel_from_cache(this: Check, case: Case) -> Iterator[Finding]:
    """Pip takes a CPU wheel out of its cache again and again.

    What it means: a wheel without CUDA was downloaded before, and pip finds it good enough for the request, so the
    new command installs the same build again.

    Common causes: the version was asked for without its `+cu` part, or the CUDA index was given as an extra index
    beside one that has the CPU build.

    What to do: remove torch, empty pip's cache, and install the pinned CUDA build from its own index.
    """
    purge = remedies.command(case, say("Empty the cache of pip"), *remedies.pip(case, "cache", "purge"))
    remove = remedies.command(case, say("Remove the CPU build"), *remedies.pip(case, "uninstall", "-y", "torch"))
    yield from _cpu_build(this, case, say("pip installed the wheel that lay in its cache"), (remove, purge))


@check(
    "EC322",
    "cpu-wheel-windows",
    cause="cpu_wheel_windows_pypi",
    explains=SYMPTOMS,
    needs=("build_shown",),
    hears=("not_compiled_with_cuda", "cuda_extension_on_cpu_torch"),
)
def cpu_wheel_on_windows(this: Check, case: Case) -> Iterator[Finding]:
    """The default index has only CPU builds for Windows.

    What it means: for Windows the default index, its mirrors, and lock files made from them hold a build without
    CUDA; the same command brings a CUDA build on Linux.

    Common causes: `pip install torch` or a requirements file without an index; a mirror of the default index.

    What to do: install from PyTorch's own index of a CUDA build, or from a mirror of that index.
    """
    yield from _cpu_build(this, case, say("For Windows the default index and its mirrors hold a build without CUDA"))


@check(
    "EC301",
    "cpu-wheel",
    cause="cpu_wheel_pip",
    explains=SYMPTOMS,
    needs=("build_shown",),
    hears=("not_compiled_with_cuda", "cuda_extension_on_cpu_torch", "other_cpu_package"),
)
def cpu_wheel(this: Check, case: Case) -> Iterator[Finding]:
    """A build of PyTorch without CUDA on a machine with an NVIDIA GPU.

    What it means: this build cannot use an NVIDIA GPU, whatever driver or toolkit is installed.

    Common causes: the CPU index of PyTorch was used; another package asked for the CPU build; a mirror or an image
    brought it along.

    What to do: replace torch by a CUDA build that suits the driver and the GPU. The driver does not need to change
    for that, and no CUDA toolkit is needed.
    """
    yield from _cpu_build(this, case, say("The index that was used, or a package that asked for it, gave a CPU build"))
    other = case.said("other_cpu_package")
    if other and cpu_build(case) is None:
        yield this.finding(
            say("{name} was installed in a build without CUDA", name=other[0][1].get("name") or say("A package")),
            evidence=heard(other, 1),
            fixes=(remedies.step(say("Install the build of that package that was made for CUDA, as its page says")),),
            confidence="likely",
        )


@check(
    "EC327",
    "jetson-arch-missing",
    cause="jetson_arch_missing",
    explains=("EC211", "EC212", "EC404"),
    needs=("jetson",),
    hears=("capability_not_in_build", "capability_out_of_range"),
)
def jetson_arch_missing(this: Check, case: Case) -> Iterator[Finding]:
    """A server build for Arm on a Jetson board.

    What it means: this CUDA build for aarch64 was made for Arm servers. CUDA starts, but the build has no kernels
    for the integrated GPU of the board, so that the first calculation fails.

    Common causes: an aarch64 wheel or conda build from a general index on a Jetson.

    What to do: install the wheel that NVIDIA publishes for the JetPack release of this board.
    """
    torch = case.facts.torch
    if not is_jetson(case) or has_cuda(case) is False:
        return
    devices = torch.devices or ()
    capabilities = [gpu.compute_capability for gpu in case.gpus or () if gpu.compute_capability]
    capabilities += [device.compute_capability for device in devices if device.compute_capability]
    kernels = torch.arch_list or ()
    unserved = [
        one for one in capabilities if kernels and not any(case.catalogue.runs(kernel, one) for kernel in kernels)
    ]
    told = case.said("capability_not_in_build") or case.said("capability_out_of_range") or case.said("no_kernel_image")
    if not unserved and not told:
        return
    yield this.finding(
        say("This build has no kernels for the GPU of a Jetson"),
        evidence=(
            fact("host.jetson", case.facts.host.jetson_release or case.facts.host.kernel or "Jetson"),
            *((fact("torch.arch_list", " ".join(kernels), torch.look),) if kernels else ()),
            *heard(told, 1),
        ),
        fixes=(remedies.step(say("Install NVIDIA's wheel for this JetPack: {url}", url=page("jetson"))),),
        confidence="certain" if unserved else "likely",
    )


CHECKS = (
    jetson_generic_wheel,
    jetson_arch_missing,
    cpu_build_from_conda,
    cpu_wheel_on_aarch64,
    cpu_wheel_from_cache,
    cpu_wheel_on_windows,
    cpu_wheel,
)
