"""EC2xx: GPUs that are joined, divided, shared or lent out."""

from collections.abc import Iterator

from envcheck.diagnosis import exhibits, remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.common import NO_CUDA, owns_its_driver
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.model.report import Finding, Fix, Severity
from envcheck.model.text import say


@check(
    "EC208",
    "fabric-manager-down",
    cause="fabric_manager_802",
    needs=("driver_answered",),
    hears=("fabric_manager_802",),
    explains=NO_CUDA,
)
def fabric_manager_down(this: Check, case: Case) -> Iterator[Finding]:
    """The GPUs wait for the fabric manager.

    What it means: on machines whose GPUs are joined by NVSwitch (HGX, DGX) a service, the fabric manager, has to
    set up the links. Until it has, CUDA reports error 802, system not yet initialized, and nvidia-smi works all the
    same.

    Common causes: nvidia-fabricmanager is not installed, not started, or of another version than the driver; in a
    virtual machine or container it has to run on the host.

    What to do: install the fabric manager in exactly the driver's version, and start it.
    """
    told, status = case.said("fabric_manager_802"), case.cuda_status(802)
    waiting = [gpu for gpu in case.listed or () if gpu.fabric_state in ("not_started", "in_progress")]
    manager = case.facts.host.fabric_manager
    switches = [one for one in case.facts.pci or () if one.vendor == "10de" and one.pci_class.startswith("0680")]
    asked = case.pasted and case.cuda_available is False  # who asks for the service has switches
    down = (switches or asked) and manager in ("inactive", "failed", "absent") and owns_its_driver(case)
    if case.cuda_available or not (told or status or waiting or down):
        return
    yield this.finding(
        say("The GPUs wait for NVIDIA's fabric manager (CUDA error 802)"),
        evidence=(
            *heard(told),
            *((exhibits.status(status),) if status else ()),
            *(fact(f"nvidia.gpus[{gpu.index}].fabric_state", gpu.fabric_state, gpu.look) for gpu in waiting[:2]),
            *((fact("host.fabric_manager", manager, "host"),) if manager else ()),
        ),
        fixes=_fabric(case),
        confidence="certain" if told or status else "likely",
    )


def _fabric(case: Case) -> tuple[Fix, ...]:
    if case.in_container:
        return (remedies.step(say("On the host (or at the provider of the machine): start nvidia-fabricmanager")),)
    states = {gpu.fabric_state for gpu in case.listed or ()}
    if "in_progress" in states and case.facts.host.fabric_manager in ("active", None):
        again = say("Just after a start of the machine: wait a minute and look again")
        return (
            remedies.envcheck(case, again, "doctor"),
            *remedies.otherwise(*remedies.fabric_manager(case, case.driver_version)),
        )
    if case.facts.host.fabric_manager in ("inactive", "failed"):
        return (
            remedies.start_service(case, "nvidia-fabricmanager"),
            *remedies.otherwise(*remedies.fabric_manager(case, case.driver_version)[:-1]),
        )
    return remedies.fabric_manager(case, case.driver_version)


@check("EC229", "mig-without-instance", cause="mig_no_instance", needs=("listed",), explains=(*NO_CUDA, "EC419"))
def mig_without_instance(this: Check, case: Case) -> Iterator[Finding]:
    """MIG is on, but no instance was made.

    What it means: the GPU is set to be divided (Multi-Instance GPU), but it has no instances. CUDA then sees no
    device on it.

    Common causes: MIG was switched on and the instances were not made, or they were lost at a restart (they do not
    survive it).

    What to do: make instances, or switch MIG off to use the whole GPU.
    """
    empty = [gpu for gpu in case.listed or () if gpu.mig_enabled and gpu.mig_devices == ()]
    if not empty or case.cuda_available:
        return
    first = str(empty[0].index)
    yield this.finding(
        say("MIG is on for GPU {index}, but it has no instances", index=first),
        evidence=tuple(fact(f"nvidia.gpus[{gpu.index}].mig_devices", "()", gpu.look) for gpu in empty[:4]),
        fixes=(
            remedies.command(case, say("See the profiles"), "nvidia-smi", "mig", "-i", first, "-lgip"),
            remedies.as_root(
                case,
                say("Make an instance of one of them (here of profile 0, the whole GPU)"),
                *("nvidia-smi", "mig", "-i", first, "-cgi", "0", "-C"),
            ),
            remedies.as_root(
                case,
                say("Switch MIG off to use the whole GPU"),
                *("nvidia-smi", "-i", first, "-mig", "0"),
                alternative=True,
            ),
        ),
        severity="error" if len(empty) == len(case.listed or ()) else "warning",
    )


@check("EC230", "unified-memory", severity="info", needs=("listed",))
def unified_memory(this: Check, case: Case) -> Iterator[Finding]:
    """The GPU shares the memory of the system.

    What it means: CPU and GPU use the same memory, so the driver reports no memory of the GPU's own ("N/A"). torch
    can use what the system has free.

    Common causes: a GB10 (DGX Spark), a Jetson, or another integrated GPU.

    What to do: nothing. Mind that other programs take from the same memory.
    """
    shared = [gpu for gpu in case.listed or () if gpu.unified_memory]
    for gpu in shared[:1]:
        yield this.finding(
            say("{name} shares the memory of the system", name=gpu.name or f"GPU {gpu.index}"),
            evidence=(fact(f"nvidia.gpus[{gpu.index}].unified_memory", True, gpu.look),),
        )


@check(
    "EC232",
    "vgpu-not-licensed",
    cause="vgpu_license_or_driver",
    needs=("listed",),
    hears=("vgpu_license_or_driver", "operation_not_supported"),
    explains=(*NO_CUDA, "EC408", "EC404"),
)
def vgpu_not_licensed(this: Check, case: Case) -> Iterator[Finding]:
    """The virtual GPU lacks a licence, or its driver does not fit the host's.

    What it means: a vGPU (GRID) works fully only with a licence from a licence server, and with a guest driver that
    fits the host's. Without them CUDA is slowed down or refused ("busy or unavailable").

    Common causes: the licence server is not set up or not reached; the guest has the ordinary driver.

    What to do: install the GRID guest driver of the provider, set the licence server, and restart nvidia-gridd.
    """
    told, status = case.said("vgpu_license_or_driver"), case.nvml_status(23, 27)
    virtual = [gpu for gpu in case.listed or () if gpu.virtual or _is_grid(gpu.name)]
    works = bool(case.cuda_available) and all(card.kernel_ok is not False for card in case.cards)
    answers = case.said("exclusive_mode") or case.said("operation_not_supported")
    refused = virtual and (status or (answers and not works) or case.said("operation_not_supported"))
    if not told and not refused:
        return
    severity: Severity = "warning" if works and not answers else "error"
    yield this.finding(
        say("The virtual GPU is not licensed, or its driver does not fit the host's"),
        evidence=(
            *(fact(f"nvidia.gpus[{gpu.index}].name", gpu.name, gpu.look) for gpu in virtual[:1]),
            *((exhibits.status(status),) if status else ()),
            *heard(told),
            *heard(answers, 1),
        ),
        fixes=_licence(case),
        severity=severity,
        confidence="certain" if told else "likely",
    )


def _licence(case: Case) -> tuple[Fix, ...]:
    what = say("See the state of the licence")
    if case.facts.host.os == "windows":
        return (
            remedies.line(what, "nvidia-smi -q | Select-String licen"),
            remedies.step(say("Set the licence server as its provider says, and restart the computer")),
        )
    restart = say("After setting the licence server in /etc/nvidia/gridd.conf")
    return (
        remedies.line(what, "nvidia-smi -q | grep -i -A 2 licen"),
        remedies.command(case, restart, "sudo", "systemctl", "restart", "nvidia-gridd"),
    )


def _is_grid(name: str | None) -> bool:
    words = (name or "").removeprefix("NVIDIA ").split("-")
    return (name or "").startswith(("GRID ", "NVIDIA GRID ")) or (
        len(words) > 1 and words[-1][:-1].isdigit() and words[-1][-1:] in "QCB"
    )


CHECKS = (
    fabric_manager_down,
    mig_without_instance,
    unified_memory,
    vgpu_not_licensed,
)
