"""EC2xx: stacks with rules of their own: WSL, Jetson, AMD's ROCm."""

from collections.abc import Iterator

from envcheck.catalogue.remedies import page
from envcheck.diagnosis import exhibits, remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.common import NO_CUDA
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.machine import Said
from envcheck.diagnosis.torch_build import asked
from envcheck.model.facts import DeviceNode, Library
from envcheck.model.patterns import regex
from envcheck.model.report import Finding, Fix
from envcheck.model.text import say

_KFD = regex(r"--device[= ]/dev/kfd\b")
_WSL_LIBRARIES = "/usr/lib/wsl/"
_IN_WSL = (
    "wsl_driver",
    "access_blocked",
    "module_not_loaded",
    "driver_missing",
    "no_cuda_gpus",
    "smi_absent",
    "gpu_init_failed",
    "driver_lib_mismatch",
    "cuda_count_error",
)


@check(
    "EC209",
    "wsl-driver",
    cause="wsl_driver",
    needs=("wsl",),
    hears=("wsl_driver", "wsl_named_symbol", "wsl_one", "access_blocked", "cudnn_without_libcuda"),
    explains=(*NO_CUDA, "EC202", "EC206", "EC213", "EC216", "EC222", "EC227", "EC233", "EC408"),
)
def wsl_driver(this: Check, case: Case) -> Iterator[Finding]:
    """WSL does not see the Windows driver.

    What it means: inside WSL 2 the GPU is driven by the Windows driver. Windows brings its libcuda in at
    /usr/lib/wsl/lib. Here that library is missing, broken, or hidden by a Linux one.

    Common causes: a Linux driver was installed inside WSL; the Windows driver or WSL itself is too old; the
    distribution runs as WSL 1.

    What to do: remove NVIDIA's Linux driver packages from WSL, install the newest driver on Windows, and update
    WSL.
    """
    partial = _partly_broken(case)
    if case.wsl is False or ((case.in_container or case.cuda_available) and not partial):
        return
    told = (
        partial
        or case.said("wsl_one")
        or case.said("wsl_driver")
        or _old_windows_driver(case)
        or _blocked(case)
        or next((case.said(slug) for slug in _IN_WSL if case.wsl and case.said(slug)), ())
    )
    foreign = [one for one in case.facts.nvidia.libraries if one.path and not one.error and not _from_windows(one)]
    foreign = foreign if case.wsl else []
    wanted = case.build_kind == "cuda" or case.pasted
    absent = case.wsl and case.has_library("libcuda") is False and wanted and not case.listed
    err = next((one for one in case.facts.nvidia.statuses if one.name == "ERR!"), None) if case.wsl else None
    first = _first_wsl(case)
    packages = case.facts.nvidia.packages or ()
    hidden = bool(packages) and bool(case.wsl) and case.pasted and not case.cuda_available
    if not (told or hidden or foreign or absent or err or first):
        return
    # A CUDA build that misses a driver is no proof of an NVIDIA GPU in the Windows machine around WSL.
    guess = not foreign and not packages and not case.pasted and not _told_by_driver(case)
    title = say("WSL does not see the driver of Windows")
    if foreign:
        title = say(
            "A Linux driver library inside WSL hides the one that Windows brings in: {path}", path=foreign[0].path
        )
    is_wsl_1 = first or bool(case.said("wsl_one"))
    if is_wsl_1:
        title = say("This is WSL 1, which gives Linux programs no GPU")
    yield this.finding(
        title,
        evidence=(
            *map(exhibits.library, foreign[:2]),
            *((exhibits.status(err),) if err and not told else ()),
            *heard(told),
            *((fact("host.kernel", first, "host"),) if first else ()),
            *(fact("nvidia.packages", one, "files") for one in packages[:2]),
        ),
        fixes=(_to_wsl_2(),) if is_wsl_1 else _mend_wsl(case, linux_driver=bool(foreign or packages)),
        severity="warning" if guess else "error",
        confidence="certain" if foreign else "possible" if guess else "likely",
    )


def _partly_broken(case: Case) -> Said:
    """What some programs meet although CUDA works: libcuda.so is no link, or is newer than the WSL around it."""
    shared = all(
        gpu.compute_mode in (None, "default") for gpu in case.listed or ()
    )  # then nobody keeps the GPU to himself
    unlinked = case.said("wsl_libcuda_link") or (shared and case.said("exclusive_mode")) or () if case.wsl else ()
    unnumbered = case.said("cudnn_without_libcuda") if case.pasted and not case.in_container else ()
    return unlinked or ((case.said("wsl_named_symbol") or unnumbered) if case.facts.host.os != "windows" else ())


def _first_wsl(case: Case) -> str | None:
    """The kernel of WSL 1, which Microsoft writes in its own name; WSL 2 brings a Linux kernel."""
    kernel = case.facts.host.kernel or ""
    return kernel if case.wsl and kernel.endswith("-Microsoft") else None


def _to_wsl_2() -> Fix:
    return remedies.line(
        say("In a PowerShell of Windows, with the name that `wsl -l -v` shows in place of Ubuntu"),
        "wsl --set-version Ubuntu 2",
    )


def _old_windows_driver(case: Case) -> Said:
    """An insufficient driver of no version, in WSL: the driver that Windows brings in is old, or was not found."""
    told = case.said("driver_too_old") if case.wsl and case.driver_version is None else ()
    return () if any("found" in groups for _, groups in told) else told


def _blocked(case: Case) -> Said:
    """NVML's words for a GPU that the system withholds: a text that has them comes from WSL, as a rule."""
    told = case.said("access_blocked") if case.pasted else ()
    return tuple(one for one in told if "blocked by the operating system" in one[0].text)


def _told_by_driver(case: Case) -> bool:
    return bool(case.facts.nvidia.smi_path) or any(case.said(slug) for slug in _IN_WSL if slug != "driver_missing")


def _from_windows(library: Library) -> bool:
    path = library.path or ""
    return path.startswith((_WSL_LIBRARIES, "/mnt/", "/usr/lib/wsl")) or "/drivers/" in path or "/stubs/" in path


def _mend_wsl(case: Case, *, linux_driver: bool) -> tuple[Fix, ...]:
    remove = remedies.line(
        say("Remove NVIDIA's Linux driver packages from WSL"),
        "sudo apt purge '^nvidia-.*' '^libnvidia-.*' '^cuda-drivers.*'",
    )
    return (*((remove,) if linux_driver else ()), *remedies.install_driver(case))


@check("EC236", "jetson", severity="info", needs=("jetson",))
def jetson(this: Check, case: Case) -> Iterator[Finding]:
    """This is a Jetson board.

    What it means: the GPU of a Jetson is part of the chip and driven by its own system (L4T, JetPack). Wheels for
    other aarch64 machines do not use it, and the driver's number says nothing about CUDA.

    Common causes: none; it is what the machine is.

    What to do: take torch from NVIDIA's page for Jetson, in the build for your JetPack, or use NVIDIA's containers.
    """
    if case.jetson:
        yield this.finding(
            say("A Jetson takes torch from NVIDIA's own builds for JetPack"),
            evidence=(fact("host.jetson_release", case.facts.host.jetson_release or "?", "host"),),
            fixes=(remedies.step(say("Builds for Jetson: {url}", url=page("jetson"))),),
        )


@check(
    "EC234",
    "rocm-device-denied",
    cause="rocm_driver_or_permission",
    needs=("amd_looked_at",),
    hears=("rocm_driver_or_permission", "no_cuda_gpus"),
    explains=("EC401", "EC404"),
)
def rocm_device_denied(this: Check, case: Case) -> Iterator[Finding]:
    """ROCm cannot open the AMD GPU.

    What it means: ROCm works through /dev/kfd and /dev/dri/renderD*. They are missing, or this user may not open
    them; then hsa_init fails and torch sees no GPU.

    Common causes: the user is not in the groups render and video; a container was started without the devices; the
    kernel module amdgpu is not loaded or too old for the GPU.

    What to do: join the groups and log in anew; give the devices to the container; or install the amdgpu module.
    """
    told = case.said("rocm_driver_or_permission") or (case.said("no_cuda_gpus") if asked(case, _KFD) else ())
    nodes = (*((case.kfd,) if case.kfd else ()), *(case.facts.amd.render_nodes or ()))
    denied = [node for node in nodes if _closed(node)]
    amd = bool(case.amd_pci or case.facts.amd.gpus)
    quiet = case.pasted and bool(case.facts.torch.hip) and case.cuda_available is False and case.gpus is None
    if quiet and not told and not denied:
        yield this.finding(
            say("A ROCm build sees no AMD GPU: most often it may not open /dev/kfd, or the driver is not loaded"),
            evidence=(
                fact("torch.hip", case.facts.torch.hip, case.facts.torch.look),
                fact("torch.cuda_available", "False", case.facts.torch.look),
            ),
            fixes=_open_kfd(case, denied),
            confidence="possible",
        )
        return
    if case.cuda_available or not (told or (denied and (amd or case.pasted) and case.build_kind in ("rocm", None))):
        return
    groups = case.facts.host.groups
    yield this.finding(
        say("ROCm cannot open the AMD GPU (/dev/kfd)"),
        evidence=(
            *map(exhibits.node, denied[:2]),
            *((fact("host.groups", " ".join(groups), "host"),) if groups is not None else ()),
            *heard(told),
        ),
        fixes=_open_kfd(case, denied),
        severity="warning" if not told and case.build_kind is None else "error",
        confidence="certain" if denied else "likely" if case.said("rocm_driver_or_permission") else "possible",
    )


def _closed(node: DeviceNode) -> bool:
    return node.error is not None or (node.readable, node.writable) == (False, False)


def _open_kfd(case: Case, denied: list[DeviceNode]) -> tuple[Fix, ...]:
    if case.in_container:
        start = "docker run --device=/dev/kfd --device=/dev/dri --group-add video IMAGE COMMAND"
        return (remedies.line(say("Start the container with the devices of the GPU"), start),)
    if any(node.error == "ENOENT" for node in denied):
        load = remedies.command(case, say("Load the kernel module amdgpu"), "sudo", "modprobe", "amdgpu")
        return (load, remedies.step(say("If it does not know the GPU, install AMD's module: {url}", url=page("rocm"))))
    join = remedies.line(
        say("Join the groups render and video, then log in anew"), 'sudo usermod -aG render,video "$USER"'
    )
    return (join, remedies.step(say("If that does not help, see {url}", url=page("rocm"))))


CHECKS = (wsl_driver, jetson, rocm_device_denied)
