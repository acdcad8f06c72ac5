"""EC2xx: the GPUs themselves: there or not, started, lost, damaged."""

from collections.abc import Iterator

from envcheck.catalogue.remedies import last_branch, needs_open_module, page
from envcheck.diagnosis import exhibits, remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.common import NO_CUDA, cards_on_bus, owns_its_driver
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.model.facts import Gpu, PciDevice
from envcheck.model.report import Evidence, Finding, Fix
from envcheck.model.text import say
from envcheck.model.versions import numbers

_LOST = ("GPU_IS_LOST", "RESET_REQUIRED")
_DAMAGED = ("CORRUPTED_INFOROM", "INSUFFICIENT_POWER", "IRQ_ISSUE", "ECC_ERROR")


@check("EC201", "no-nvidia-gpu", severity="info", needs=("has_nvidia",))
def no_nvidia_gpu(this: Check, case: Case) -> Iterator[Finding]:
    """There is no NVIDIA GPU.

    What it means: no NVIDIA card is on the bus, so CUDA is not for this machine. That is no fault: torch computes
    on the CPU, and a GPU of another maker has builds of its own.

    Common causes: a laptop, a server or a virtual machine without such a GPU; a GPU that was not passed through to
    a virtual machine.

    What to do: nothing. The CPU serves for development, tests, inference and the training of small models; the CPU
    build is the smallest download. On Colab, Kaggle or AutoDL, choose a GPU on the site.
    """
    if case.has_nvidia is not False or case.on_macos or case.build_kind in ("rocm", "xpu"):
        return
    others = [name for name, found in (("AMD", case.amd_pci), ("Intel", case.intel_pci)) if found]
    title = say("No NVIDIA GPU: torch computes on the CPU, good for learning, tests and small models")
    if others:
        title = say(
            "No NVIDIA GPU (the display adapter is from {makers}): torch computes on the CPU, good for learning, tests"
            " and small models",
            makers=", ".join(others),
        )
    yield this.finding(
        title,
        evidence=tuple(exhibits.pci(card) for card in (*(case.amd_pci or ()), *(case.intel_pci or ()))[:3]),
        fixes=remedies.give_container_gpus(case) if case.rented else (),
        severity="warning" if case.rented and case.build_kind == "cuda" else None,  # a GPU was meant, and is to be had
    )


@check(
    "EC237",
    "wrong-kind-of-module",
    cause="gpu_init_failed",
    needs=("nvidia_pci", "nvidia_module_loaded"),
    hears=("open_module_required", "open_module_refused"),
    explains=(*NO_CUDA, "EC216"),
)
def wrong_kind_of_module(this: Check, case: Case) -> Iterator[Finding]:
    """The GPU needs the other kind of kernel module.

    What it means: NVIDIA's driver comes with an open and a proprietary kernel module. The newest GPUs work with the
    open one only, GPUs before Turing with the proprietary one only. With the wrong one, no device is found.

    Common causes: a new GPU was put into a machine that had the proprietary driver; the package of the other kind
    was chosen.

    What to do: install the driver package of the right kind (the open one has "open" in its name), and restart.
    """
    told_open, told_closed = case.said("open_module_required"), case.said("open_module_refused")
    module = case.module("nvidia")
    flavour = module.flavour if module and module.loaded and not case.listed else None
    cards = case.nvidia_pci or ()
    needs_open = [card for card in cards if flavour == "proprietary" and needs_open_module(card.device)]
    needs_closed = [card for card in cards if flavour == "open" and last_branch(card.device)]
    if not (told_open or told_closed or needs_open or needs_closed):
        return
    to_open = bool(told_open or needs_open)
    title = (
        say("This GPU works with NVIDIA's open kernel module only")
        if to_open
        else say("This GPU works with NVIDIA's proprietary kernel module only")
    )
    what = (
        say("Choose the driver package of the open kind")
        if to_open
        else say("Choose the driver package of the proprietary kind")
    )
    yield this.finding(
        title,
        evidence=(
            *((exhibits.module(module),) if module else ()),
            *map(exhibits.pci, (needs_open or needs_closed)[:2]),
            *heard(told_open or told_closed),
        ),
        fixes=(remedies.step(what), *(remedies.install_driver(case) if to_open else _from_the_page(case))),
        confidence="certain" if told_open or told_closed else "likely",
    )


def _from_the_page(case: Case) -> tuple[Fix, ...]:
    return (remedies.driver_page(), remedies.reboot(case))


@check(
    "EC238",
    "gpu-too-old-for-driver",
    cause="gpu_init_failed",
    needs=("nvidia_pci", "driver_version"),
    hears=("legacy_driver",),
    explains=(*NO_CUDA, "EC216", "EC237"),
)
def gpu_too_old_for_driver(this: Check, case: Case) -> Iterator[Finding]:
    """The driver no longer supports this GPU.

    What it means: NVIDIA ends the support of old GPU families with a certain driver branch. A newer driver loads,
    but finds no device that it supports.

    Common causes: the distribution moved on to a newer driver branch.

    What to do: install the last branch that supports the GPU, and keep the system from replacing it.
    """
    told = case.said("legacy_driver")
    have = numbers(case.driver_version or "0")[:1]
    rows = [] if case.listed else [(card, last_branch(card.device)) for card in case.nvidia_pci or ()]
    old = [(card, row.branch) for card, row in rows if row and have > numbers(row.branch)]
    if not told and not old:
        return
    branch = next((groups["branch"] for _, groups in told if "branch" in groups), old[0][1] if old else "?")
    yield this.finding(
        say("This GPU is driven by the {branch} branch of the driver at most", branch=branch),
        evidence=(
            *(exhibits.pci(card) for card, _ in old[:2]),
            *exhibits.sightings("nvidia.driver_versions", case.facts.nvidia.driver_versions[:1]),
            *heard(told),
        ),
        fixes=(
            remedies.step(say("Install driver {branch} from {url}", branch=branch, url=page("nvidia_driver"))),
            remedies.reboot(case),
        ),
        confidence="certain" if told else "likely",
    )


@check(
    "EC217",
    "gpu-lost",
    cause="gpu_lost_xid",
    needs=("driver_answered",),
    hears=("gpu_lost_xid",),
    explains=(*NO_CUDA, "EC404", "EC216", "EC419"),
)
def gpu_lost(this: Check, case: Case) -> Iterator[Finding]:
    """A GPU no longer answers.

    What it means: the driver lost its connection to a GPU while it ran (Xid 79, "fallen off the bus", GPU_IS_LOST),
    or a GPU waits for a reset.

    Common causes: power supply or cables, heat, a loose card or riser, the firmware of the mainboard, a broken
    card.

    What to do: restart the machine (switch it off and on). If it comes back: check power cables and cooling, limit
    the clocks or the power, update the firmware, have the card exchanged. On a cluster, drain the node.
    """
    told, status = case.said("gpu_lost_xid"), case.nvml_status(15, 16)
    if case.wsl:  # a GPU that is Windows' own has no bus here that it could fall from
        told = tuple(one for one in told if "Unknown Error" not in one[0].text)
    lost = [gpu for gpu in case.listed or () if gpu.error in _LOST or _says_nothing(gpu)]
    silent = _silent_on_bus(case)
    if not (told or status or lost or silent):
        return
    title = say("A GPU was lost: it no longer answers the driver")
    if silent and not lost:
        title = say("The GPU at {address} no longer answers on the bus (revision ff)", address=silent[0].address)
    if lost:
        title = say("GPU {index} was lost: it no longer answers the driver", index=lost[0].index)
    yield this.finding(
        title,
        evidence=(
            *map(_broken, lost[:3]),
            *map(exhibits.pci, silent[:3]),
            *((exhibits.status(status),) if status else ()),
            *heard(told),
        ),
        fixes=(
            remedies.kernel_log(case),
            remedies.reboot(case),
            remedies.step(
                say(
                    "If it comes back: power cables, cooling, firmware of the mainboard; what the Xid means: {url}",
                    url=page("xid"),
                )
            ),
        ),
        confidence="certain" if told or status or silent or any(gpu.error in _LOST for gpu in lost) else "likely",
    )


def _says_nothing(gpu: Gpu) -> bool:
    """nvidia-smi's row of errors: a crashed GPU does not even tell its name."""
    return gpu.error == "UNKNOWN" and gpu.name is None and gpu.pci_address is not None and gpu.look == "text"


def _silent_on_bus(case: Case) -> list[PciDevice]:
    """Cards of revision ff beside GPUs that the driver lists; where it lists none, EC216 speaks of them."""
    listed = {(gpu.pci_address or "")[-12:] for gpu in case.listed or () if gpu.error is None}
    silent = [card for card in case.nvidia_pci or () if card.revision == "ff" and card.address[-12:] not in listed]
    return silent if case.listed else []


def _broken(gpu: Gpu) -> Evidence:
    words = " ".join(word for word in (gpu.name, gpu.error, gpu.error_call) if word)
    return fact(f"nvidia.gpus[{gpu.index}].error", words, gpu.look)


@check(
    "EC218",
    "gpu-hardware-fault",
    cause="gpu_hardware_fault",
    needs=("driver_answered",),
    hears=("gpu_hardware_fault",),
    explains=(*NO_CUDA, "EC404"),
)
def gpu_hardware_fault(this: Check, case: Case) -> Iterator[Finding]:
    """The GPU reports a fault of its hardware.

    What it means: the driver reports a damaged infoROM, missing power, lost interrupts, or memory errors that ECC
    could not correct.

    Common causes: an extra power cable that is not plugged in, a failing card, memory that wears out.

    What to do: check the power cables, reset or restart, and have the card exchanged if it stays. On a cluster,
    drain the node.
    """
    told, status = case.said("gpu_hardware_fault"), case.nvml_status(8, 11, 14)
    broken = [gpu for gpu in case.listed or () if gpu.error in _DAMAGED]
    if not (told or status or broken):
        return
    works = bool(case.cuda_available) and all(card.kernel_ok is not False for card in case.cards)
    yield this.finding(
        say("A GPU reports a fault of its hardware"),
        evidence=(*map(_broken, broken[:3]), *((exhibits.status(status),) if status else ()), *heard(told)),
        fixes=(
            remedies.line(say("Read its errors"), "nvidia-smi -q -d ECC,PAGE_RETIREMENT"),
            remedies.kernel_log(case),
            remedies.reboot(case),
        ),
        severity="warning" if works else "error",
    )


@check(
    "EC216",
    "gpu-not-initialised",
    cause="gpu_init_failed",
    needs=("nvidia_module_loaded", "nvidia_pci", "listed"),
    hears=("gpu_init_failed",),
    explains=NO_CUDA,
)
def gpu_not_initialised(this: Check, case: Case) -> Iterator[Finding]:
    """The driver is loaded, but could not start the GPU.

    What it means: the kernel module runs and the card is on the bus, yet the driver lists no device ("No devices
    were found", RmInitAdapter failed in the kernel log).

    Common causes: a driver that does not fit the GPU (too old for it, or the proprietary module for a GPU that
    needs the open one); a card without power or in a deep sleep (revision ff); a firmware setting.

    What to do: read the kernel log; install the newest driver; restart with the power off for a moment.
    """
    told = case.said("gpu_init_failed")
    bound = [card for card in case.nvidia_pci or () if card.driver == "nvidia" or card.revision == "ff"]
    silent = case.nvidia_module_loaded and case.listed == () and bound and owns_its_driver(case)
    asleep = [card for card in bound if card.revision == "ff"]
    if case.listed or not (told or silent or (asleep and case.pasted)):
        return
    module = case.module("nvidia")
    yield this.finding(
        say("The NVIDIA driver is loaded, but finds no GPU that it can start"),
        why=say("the card does not answer on the bus (revision ff)") if asleep else None,
        evidence=(*((exhibits.module(module),) if module else ()), *cards_on_bus(case, 2), *heard(told)),
        fixes=(remedies.kernel_log(case), *remedies.install_driver(case)),
        confidence="certain" if silent else "likely",
    )


CHECKS = (
    no_nvidia_gpu,
    gpu_too_old_for_driver,
    wrong_kind_of_module,
    gpu_lost,
    gpu_hardware_fault,
    gpu_not_initialised,
)
