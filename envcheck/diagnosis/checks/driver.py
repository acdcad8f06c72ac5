"""EC2xx: whether NVIDIA's kernel driver is there, and loaded."""

from collections.abc import Iterator

from envcheck.diagnosis import exhibits, remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.common import NO_CUDA, cards_on_bus, owns_its_driver, wish
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.machine import Said
from envcheck.model.facts import PciDevice
from envcheck.model.report import Confidence, Finding, Fix
from envcheck.model.text import Text, say

_NOBODY = (None, "microsoft")
"""No driver at all; on Windows the basic display adapter, which Microsoft provides, stands in for one."""
_OTHER_OWNERS = ("nouveau", "vfio-pci", "nvidiafb", "rivafb")


def _bound_to(case: Case, driver: str) -> tuple[PciDevice, ...]:
    return tuple(card for card in case.nvidia_pci or () if card.driver == driver)


@check("EC215", "gpu-given-to-vm", cause="vfio_bound", needs=("nvidia_pci",), explains=(*NO_CUDA, "EC213", "EC202"))
def gpu_given_to_vm(this: Check, case: Case) -> Iterator[Finding]:
    """The GPU is set aside for a virtual machine.

    What it means: the kernel driver vfio-pci holds the card, so that a virtual machine can have it. NVIDIA's driver
    on this system cannot use it meanwhile.

    Common causes: PCI passthrough was set up for a virtual machine; a guide for it was followed and left half done.

    What to do: run PyTorch inside the virtual machine that has the card, or give the card back to NVIDIA's driver.
    """
    held = _bound_to(case, "vfio-pci")
    if not held:
        return
    all_held = len(held) == len(case.nvidia_pci or ())
    yield this.finding(
        say("A GPU at {address} is bound to vfio-pci: it belongs to a virtual machine", address=held[0].address),
        evidence=tuple(exhibits.pci(card) for card in held[:4]),
        fixes=(
            remedies.step(say("Run PyTorch inside the virtual machine that has the GPU")),
            remedies.line(
                say("See what binds it to vfio-pci, take that away, and restart"),
                "grep -rn 'vfio-pci' /etc/modprobe.d /etc/default/grub",
                alternative=True,
            ),
        ),
        severity=wish(case) if all_held and not case.listed else "info",
    )


@check(
    "EC203",
    "nouveau-active",
    cause="nouveau_bound",
    needs=("nvidia_pci",),
    hears=("nouveau_bound",),
    explains=(*NO_CUDA, "EC202", "EC213", "EC216"),
)
def nouveau_active(this: Check, case: Case) -> Iterator[Finding]:
    """The free driver nouveau holds the GPU.

    What it means: the kernel gave the card to nouveau, which draws the screen but knows no CUDA. NVIDIA's driver
    cannot take a card that another driver holds.

    Common causes: NVIDIA's driver was never installed, or its installation did not get as far as blocking nouveau;
    after a kernel update the NVIDIA module was missing and nouveau stepped in.

    What to do: install NVIDIA's driver, block nouveau, renew the initial RAM disk, and restart.
    """
    held, told = _bound_to(case, "nouveau"), case.said("nouveau_bound")
    nouveau = case.module("nouveau")
    loaded_alone = bool(nouveau and nouveau.loaded and not case.nvidia_module_loaded and case.has_nvidia is not False)
    if not held and not told and not (loaded_alone and case.pasted):
        return
    module = (exhibits.module(nouveau),) if nouveau else ()
    yield this.finding(
        say("The GPU is held by nouveau, which knows no CUDA"),
        evidence=(*(exhibits.pci(card) for card in held[:4]), *module, *heard(told)),
        fixes=_instead_of_nouveau(case),
        severity="info" if case.listed else "error" if told else wish(case),
        confidence="certain" if held or told else "likely",
    )


def _instead_of_nouveau(case: Case) -> tuple[Fix, ...]:
    *install, restart = remedies.install_driver(case)
    block = (
        "printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' | sudo tee /etc/modprobe.d/blacklist-nouveau.conf"
    )
    return (
        *install,
        remedies.line(say("Block nouveau"), block),
        *remedies.initramfs(case),
        restart,
    )


@check(
    "EC202",
    "driver-missing",
    cause="driver_missing",
    needs=("nvidia_pci",),
    hears=("driver_missing", "smi_absent"),
    explains=NO_CUDA,
)
def driver_missing(this: Check, case: Case) -> Iterator[Finding]:
    """No NVIDIA driver is installed.

    What it means: there is an NVIDIA GPU, but neither a kernel driver for it nor the driver's libraries (libcuda,
    nvcuda.dll). PyTorch brings CUDA along, but never the driver.

    Common causes: a fresh system; a CUDA toolkit was installed without the driver; the driver was removed by an
    update of the system.

    What to do: install the NVIDIA driver of your distribution, or from NVIDIA on Windows, and restart.
    """
    told = case.said("driver_missing") or (case.said("smi_absent") if case.pasted else ())
    told = told or (case.said("module_not_loaded") if _never_installed(case) else ())
    # Without -k, lspci does not tell who drives a card: a pasted list shows nobody for each.
    unbound = [card for card in case.nvidia_pci or () if card.driver in _NOBODY and not case.pasted]
    bare = bool(unbound) and not case.driver_traces and not case.facts.nvidia.modeset_files and owns_its_driver(case)
    if not bare and not (told and _message_fits(case)):
        return
    sure: Confidence = "certain" if bare else "possible"
    torch_alone = bool(told) and all("no NVIDIA driver" in message.text for message, _ in told)
    alone = torch_alone and case.has_nvidia is None and not case.said("smi_absent") and case.facts.host.os is None
    signs = (
        bool(case.said("driver_missing")),
        bool(case.said("smi_absent")),
        bool(case.nvidia_pci),
        case.facts.host.os_name is not None or case.facts.host.os == "windows",
    )
    # A container lacks what a host has, and one sign alone tells them not apart.
    if case.pasted and not bare and not alone and sum(signs) > 1 and not case.said("container_words"):
        sure = "likely"
    yield this.finding(
        say("There is an NVIDIA GPU, but no NVIDIA driver") if bare else say("torch finds no NVIDIA driver here"),
        evidence=(*cards_on_bus(case), *heard(told)),
        fixes=remedies.install_driver(case),
        severity=wish(case) if bare and not told else "error" if case.pasted or case.has_nvidia else "warning",
        confidence=sure,
    )


def _never_installed(case: Case) -> bool:
    """Whether a list of the system's packages was asked for NVIDIA's and has none."""
    return case.pasted and case.facts.nvidia.packages == () and not case.facts.nvidia.driver_versions


def _message_fits(case: Case) -> bool:
    """Whether "found no driver" is to be taken at its word: not in a container or WSL, and not where a driver is."""
    elsewhere = case.said("docker_without_gpus") or case.in_container or case.facts.host.wsl or case.facts.host.jetson
    return not elsewhere and not case.driver_traces and not case.listed and case.has_nvidia is not False


@check(
    "EC214",
    "secure-boot-refuses-driver",
    cause="secure_boot",
    needs=("secure_boot", "nvidia_module_loaded"),
    hears=("secure_boot",),
    explains=(*NO_CUDA, "EC203", "EC213"),
)
def secure_boot_refuses_driver(this: Check, case: Case) -> Iterator[Finding]:
    """Secure Boot refuses the driver's kernel module.

    What it means: the firmware lets only signed code into the kernel. The NVIDIA module was built and signed on
    this machine with a key that the firmware does not know yet, so the kernel rejects it.

    Common causes: the driver was installed with Secure Boot on, and the question about the key (MOK) at the next
    start was skipped.

    What to do: ask the firmware to accept the key, restart, and confirm it on the blue screen (Enroll MOK). Or
    switch Secure Boot off in the firmware's settings.
    """
    told = case.said("secure_boot")
    on_disk = case.facts.nvidia.modeset_files
    refused = case.secure_boot and case.nvidia_module_loaded is False and on_disk and owns_its_driver(case)
    if not told and not (refused and case.nvidia_pci):
        return
    boot = (fact("host.secure_boot", True, "host"),) if case.secure_boot else ()
    disk = (fact("nvidia.modeset_files", on_disk[0], "files"),) if on_disk else ()
    yield this.finding(
        say("Secure Boot is on and refuses the NVIDIA kernel module"),
        evidence=(*heard(told), *boot, *disk),
        fixes=(
            *remedies.enrol_key(case),
            remedies.reboot(case),
            remedies.step(say("At the start, choose Enroll MOK and type the password that you gave")),
            remedies.step(say("Switch Secure Boot off in the firmware's settings"), alternative=True),
        ),
        confidence="certain" if told else "likely",
    )


@check(
    "EC213",
    "module-not-loaded",
    cause="module_not_loaded",
    needs=("nvidia_module_loaded",),
    hears=("module_not_loaded", "module_of_other_kernel"),
    explains=(*NO_CUDA, "EC202"),
)
def module_not_loaded(this: Check, case: Case) -> Iterator[Finding]:
    """The driver is installed, but its kernel module is not loaded.

    What it means: the driver's programs and libraries are there, but the kernel runs without the module nvidia.
    Then nvidia-smi says that it could not communicate with the NVIDIA driver (NVML error 9).

    Common causes: a kernel update for which the module was not built (DKMS failed, kernel headers missing); the
    module was refused or taken out.

    What to do: load the module; if it does not exist for the running kernel, build it; the kernel log says what
    stood in the way.
    """
    told, status = case.said("module_not_loaded") or _of_other_kernel(case), case.nvml_status(9)
    if case.facts.host.wsl or case.facts.host.jetson or case.nvidia_module_loaded or _others_hold_all(case):
        return
    if _never_installed(case) and not case.said("smi_absent"):
        return
    live = case.nvidia_module_loaded is False and case.driver_traces and case.has_nvidia is True and not case.listed
    if not live and not status and (not told or (_bare(case) and _library_missing(case))):
        return
    no_file = case.facts.nvidia.modeset_files == () or any({"absent", "kernel"} & groups.keys() for _, groups in told)
    kernel = (fact("host.kernel", case.facts.host.kernel, "host"),) if case.facts.host.kernel else ()
    yield this.finding(
        _title(case, no_file=no_file),
        evidence=(*heard(told), *((exhibits.status(status),) if status else ()), *cards_on_bus(case, 1), *kernel),
        # After an update of the kernel a restart is enough: the modules on the disk are the new kernel's.
        fixes=(remedies.reboot(case),)
        if any("new" in groups for _, groups in told)
        else _load_or_build(case, no_file=no_file),
        severity="warning" if case.build_kind in ("cpu", "rocm", "xpu") else "error",
        confidence="certain" if live else "possible" if _bare(case) else "likely",
    )


def _of_other_kernel(case: Case) -> Said:
    """What shows that the driver's module, or the system's newest kernel, is for another kernel than the one that runs.

    Every kernel that DKMS lists is another one; an update since the start left the modules of this one nowhere.
    """
    here, told = case.facts.host.kernel, case.said("module_of_other_kernel")
    if not case.pasted or here is None or not told or case.cuda_available or case.listed:
        return ()
    plain = here.replace("-", ".")
    others = all(plain != groups.get("kernel", groups.get("new", "")).replace("-", ".") for _, groups in told)
    missed = case.said("driver_missing") or case.said("no_cuda_gpus") or case.cuda_available is False
    return told if others and (missed or "kernel" in told[0][1]) else ()


def _bare(case: Case) -> bool:
    """Whether nvidia-smi's complaint is all that is known: Secure Boot and nouveau make it, too."""
    told = [groups for _, groups in (*case.said("module_not_loaded"), *_of_other_kernel(case)) if groups]
    return case.pasted and not told and not case.nvidia_pci and not case.facts.nvidia.driver_versions


def _library_missing(case: Case) -> bool:
    return any("library" in groups for _, groups in case.said("driver_missing"))


def _others_hold_all(case: Case) -> bool:
    cards = case.nvidia_pci or ()
    return bool(cards) and all(card.driver in _OTHER_OWNERS for card in cards)


def _title(case: Case, *, no_file: bool) -> Text:
    if case.facts.host.os == "windows":
        return say("The NVIDIA driver is installed, but it does not answer")
    if no_file:
        return say("The NVIDIA driver has no kernel module for the kernel that runs")
    return say("The NVIDIA driver is installed, but its kernel module is not loaded")


def _load_or_build(case: Case, *, no_file: bool) -> tuple[Fix, ...]:
    if case.facts.host.os == "windows":
        return remedies.install_driver(case)
    if case.in_container:
        return (remedies.step(say("Load the driver on the host; a container cannot")), remedies.load_module(case))
    if no_file:
        return remedies.rebuild_module(case)
    again = remedies.rebuild_module(case)
    return (remedies.load_module(case), remedies.kernel_log(case), *remedies.otherwise(*again[:-1]))


@check(
    "EC244",
    "driver-libraries-missing",
    cause="driver_missing",
    needs=("nvidia_module_loaded",),
    explains=NO_CUDA,
)
def driver_libraries_missing(this: Check, case: Case) -> Iterator[Finding]:
    """The kernel module is loaded, but the driver's libraries are missing.

    What it means: the kernel drives the GPU, but libcuda.so.1 or libnvidia-ml.so.1 cannot be found, and without
    libcuda no program can use CUDA.

    Common causes: only the kernel part of the driver was installed; the libraries lie where the loader does not
    look.

    What to do: install the driver's libraries in the version of the module, or run ldconfig when they are there.
    """
    if not case.nvidia_module_loaded or not owns_its_driver(case) or case.facts.host.os != "linux":
        return
    absent = [one for one in case.facts.nvidia.libraries if one.path is None and one.error]
    if case.has_library("libcuda") is not False or not absent or case.said("driver_library_unreadable"):
        return
    branch = case.driver_version.split(".", maxsplit=1)[0] if case.driver_version else ""
    module = case.module("nvidia")
    yield this.finding(
        say("The kernel module nvidia is loaded, but the driver's library {name} is missing", name=absent[0].name),
        evidence=(*((exhibits.module(module),) if module else ()), *(exhibits.library(one) for one in absent[:2])),
        fixes=(
            *remedies.driver_libraries(case, branch),
            remedies.line(say("If they are installed, tell the loader"), "sudo ldconfig && ldconfig -p | grep libcuda"),
        ),
        severity=wish(case),
    )


CHECKS = (
    gpu_given_to_vm,
    secure_boot_refuses_driver,
    nouveau_active,
    driver_missing,
    module_not_loaded,
    driver_libraries_missing,
)
