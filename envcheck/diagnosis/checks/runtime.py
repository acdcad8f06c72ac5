"""EC4xx: CUDA at run time: not available, hidden, failing."""

from collections.abc import Iterator

from envcheck.diagnosis import exhibits, remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.misfit import misfits
from envcheck.diagnosis.torch_build import some_build_serves
from envcheck.diagnosis.visible import Flaw, Visible, visible
from envcheck.model.facts import TorchDevice
from envcheck.model.report import Evidence, Finding, Fix, Severity
from envcheck.model.text import Text, say
from envcheck.model.versions import numbers

_NAMED_ERRORS = ("34", "35", "46", "100", "101", "802", "803", "804", "999")


@check(
    "EC402",
    "gpu-hidden",
    cause="cuda_visible_devices",
    needs=("variables",),
    hears=("gpus_hidden_in_code", "no_cuda_gpus"),
    explains=("EC401", "EC409", "EC410", "EC419"),
)
def gpu_hidden(this: Check, case: Case) -> Iterator[Finding]:
    """A variable hides the GPU.

    What it means: CUDA_VISIBLE_DEVICES lists the GPUs that CUDA may see (HIP_VISIBLE_DEVICES for ROCm). An empty
    value or -1 hides all; at the first entry that does not exist the list ends; an entry that comes twice hides
    all.

    Common causes: a line in a shell profile, a job script, a notebook or an IDE; a script that sets it for another
    machine; a scheduler that gave no GPU.

    What to do: unset the variable, or name GPUs that exist: 0 is the first. It must be set before CUDA starts.
    """
    name = "CUDA_VISIBLE_DEVICES" if case.build_kind != "rocm" else "HIP_VISIBLE_DEVICES"
    value = case.variable(name)
    seen = None if value is None or case.has_nvidia is False else _visible(case, value)
    if seen is not None and seen.flaw is not None:
        yield from _by_variable(this, case, name, value or "", seen)
        return
    if value and value not in ("0", "all") and value[0].isdigit() and case.pasted and _none_left(case):
        yield this.finding(
            say("{name} names a GPU that may not be there: the first one is 0", name=name),
            evidence=(
                fact(f"variables.{name}", value, "environment"),
                *(heard(case.said("no_cuda_gpus"), 1) or _unavailable(case)),
            ),
            fixes=(remedies.unset(case, name),),
            confidence="possible",
        )
        return
    code, none_left = case.said("gpus_hidden_in_code"), case.said("no_cuda_gpus")
    if case.build_kind not in (None, "cuda") or case.in_container or not (code or (none_left and _unexplained(case))):
        return
    yield this.finding(
        say("CUDA_VISIBLE_DEVICES hides the GPU")
        if code
        else say("CUDA sees no GPU: most often CUDA_VISIBLE_DEVICES hides it"),
        evidence=(*heard(code), *heard(none_left, 1)),
        fixes=(remedies.unset(case, name),),
        confidence="likely" if code else "possible",
    )


def _visible(case: Case, value: str) -> Visible:
    gpus = case.listed
    uuids = [uuid for gpu in gpus or () for uuid in (gpu.uuid, *(gpu.mig_devices or ())) if uuid]
    return visible(value, len(gpus) if gpus else None, uuids)


def _none_left(case: Case) -> bool:
    """Whether torch sees no GPU, and how many there are is not known."""
    said = case.cuda_available is None and case.said("no_cuda_gpus")
    answers = case.facts.sightings.get("torch.cuda_available", ())  # True in one place and False in another
    none = said or any(one.value == "False" for one in answers) or case.facts.torch.device_count == 0
    return bool(none) and not case.listed and case.build_kind in (None, "cuda")


def _unavailable(case: Case) -> tuple[Evidence, ...]:
    return (fact("torch.cuda_available", "False", case.facts.torch.look),)


def _unexplained(case: Case) -> bool:
    """Whether "no CUDA GPUs" stands alone in what was pasted."""
    return case.pasted and not case.said("docker_without_gpus") and case.facts.host.wsl is not True


def _by_variable(this: Check, case: Case, name: str, value: str, seen: Visible) -> Iterator[Finding]:
    unused = case.build_kind in ("cpu", "mps", "xpu") or (case.build_kind is None and not case.pasted)
    if unused or (seen.left and not case.listed):
        severity: Severity = "info"
    else:
        severity = "warning" if seen.left else "error"
    fixes: tuple[Fix, ...] = (remedies.unset(case, name),)
    if case.listed and len(case.listed) > 1 and name.startswith("CUDA"):
        fixes += remedies.otherwise(remedies.see_gpus(case, ",".join(str(one) for one in range(len(case.listed)))))
    origin = next((one.origin for one in case.facts.variables or () if one.name == name), "environment")
    yield this.finding(
        _flaw(seen.flaw, name, seen.entry or "")
        if seen.left == 0
        else say("{name} ends at the entry {entry}, which is no GPU here", name=name, entry=seen.entry),
        evidence=(fact(f"variables.{name}", repr(value), "environment", origin), *_count(case)),
        fixes=fixes,
        severity=severity,
    )


def _flaw(flaw: Flaw | None, name: str, entry: str) -> Text:
    if flaw in ("empty", "negative"):
        return say("{name} hides all GPUs", name=name)
    if flaw == "repeated":
        return say("{name} names the GPU {entry} twice, which hides all", name=name, entry=entry)
    if flaw == "unknown":
        return say("{name} names the GPU {entry}, which is not in this machine", name=name, entry=entry)
    if flaw == "beyond":
        return say("{name} asks for GPU {entry}, but there are fewer GPUs", name=name, entry=entry)
    return say("{name} holds {entry}, which is no GPU", name=name, entry=entry)


def _count(case: Case) -> tuple[Evidence, ...]:
    return (fact("nvidia.gpus", len(case.listed), case.listed[0].look),) if case.listed else ()


@check(
    "EC233",
    "uvm-stale",
    cause="unknown_999_uvm",
    needs=("uvm_looked_at",),
    hears=("unknown_999_uvm", "machine_slept"),
    explains=("EC401", "EC411", "EC404"),
)
def uvm_stale(this: Check, case: Case) -> Iterator[Finding]:
    """CUDA starts with "unknown error" though nvidia-smi works.

    What it means: CUDA needs the module nvidia_uvm and its device file /dev/nvidia-uvm. When they are missing or in
    a bad state, CUDA reports error 999, unknown error.

    Common causes: the machine slept (suspend) and woke up again; the module nvidia_uvm is not loaded.

    What to do: load nvidia_uvm anew, or restart. If it comes back after every suspend, let the driver keep its
    memory (NVreg_PreserveVideoMemoryAllocations=1).
    """
    status = case.cuda_status(999)
    told = case.said("unknown_999_uvm")
    slept = case.said("machine_slept") if case.pasted and case.listed and not case.in_container else ()
    missed = case.cuda_available is False or bool(case.said("runs_on_cpu"))
    told = told or (slept if missed else ())
    status = status if status and status.name != "ERR!" else None
    began = case.cuda_available and not (case.pasted and told)  # torch of old said True, and failed afterwards
    if began or case.wsl or case.has_nvidia is False:
        return
    paths = [node.path for node in case.nodes or ()]
    no_uvm = (
        "/dev/nvidia0" in paths and "/dev/nvidia-uvm" not in paths and case.build_kind == "cuda" and bool(case.listed)
    )
    module = case.module("nvidia_uvm") if case.pasted else None
    absent = module is not None and module.loaded is False and case.nvidia_module_loaded is not False
    if not (told or status or absent or (no_uvm and case.cuda_available is False)):
        return
    windows = case.facts.host.os == "windows"
    yield this.finding(
        say("CUDA starts with an unknown error (999)")
        if windows
        else say("CUDA starts with an unknown error (999): the module nvidia_uvm is missing or stale"),
        evidence=(
            *heard(told),
            *((exhibits.status(status),) if status else ()),
            *((fact("nvidia.nodes", "no /dev/nvidia-uvm", "files"),) if no_uvm else ()),
            *((fact("nvidia.modules", "no nvidia_uvm", "text"),) if absent else ()),
        ),
        fixes=(remedies.reboot(case), *remedies.otherwise(*remedies.install_driver(case)))
        if windows
        else _load_uvm(case, missing=no_uvm or absent),
        confidence="likely",
    )


def _load_uvm(case: Case, *, missing: bool) -> tuple[Fix, ...]:
    keep = "echo 'options nvidia NVreg_PreserveVideoMemoryAllocations=1' | sudo tee /etc/modprobe.d/nvidia-suspend.conf"
    return (
        remedies.load_module(case, "nvidia_uvm") if missing else remedies.reload_uvm(),
        *remedies.otherwise(remedies.reboot(case)),
        remedies.line(say("If it comes back after every suspend"), keep, alternative=True),
    )


@check(
    "EC410",
    "no-device-at-start",
    cause="invalid_ordinal_init_101",
    needs=("cuda_available",),
    hears=("invalid_ordinal_init_101",),
    explains=("EC401", "EC409"),
)
def no_device_at_start(this: Check, case: Case) -> Iterator[Finding]:
    """CUDA starts with "invalid device ordinal".

    What it means: counting the devices failed with error 101. No program asked for a wrong device: the list of
    devices itself is broken.

    Common causes: CUDA_VISIBLE_DEVICES names a device twice; the driver was updated and not restarted; a GPU does
    not answer; another program's compute mode or MIG changed while this one started.

    What to do: unset CUDA_VISIBLE_DEVICES; restart the machine; look at nvidia-smi.
    """
    told, status = case.said("invalid_ordinal_init_101"), case.cuda_status(101)
    if case.cuda_available or not (told or status):
        return
    yield this.finding(
        say("CUDA could not count its devices (error 101, invalid device ordinal)"),
        evidence=(*heard(told), *((exhibits.status(status),) if status else ())),
        fixes=(remedies.unset(case, "CUDA_VISIBLE_DEVICES"), remedies.kernel_log(case), remedies.reboot(case)),
        confidence="likely",
    )


@check(
    "EC411",
    "cuda-error",
    cause="cuda_error_unknown",
    needs=("cuda_available",),
    hears=("cuda_count_error",),
    explains=("EC401",),
)
def cuda_error(this: Check, case: Case) -> Iterator[Finding]:
    """CUDA does not start, with an error that has no page of its own.

    What it means: counting the devices failed with an error number that no other check here explains.

    Common causes: a rare state of driver, hardware or container.

    What to do: read the kernel log, restart, and show a snapshot to whoever helps you.
    """
    told = tuple(one for one in case.said("cuda_count_error") if one[1].get("code") not in _NAMED_ERRORS)
    if not told or case.cuda_available:
        return
    _, groups = told[0]
    yield this.finding(
        say(
            "CUDA does not start: error {code}, {text}",
            code=groups.get("code", "?"),
            text=groups.get("text", "").strip(),
        ),
        evidence=heard(told),
        fixes=(remedies.kernel_log(case), remedies.reboot(case), *remedies.report_it(case)),
        confidence="possible",
    )


@check("EC401", "cuda-unavailable", needs=("cuda_available",))
def cuda_unavailable(this: Check, case: Case) -> Iterator[Finding]:
    """torch.cuda.is_available() is False.

    What it means: a symptom: torch cannot use a GPU here. The finding that explains it is named with it.

    Common causes: a CPU build of torch, no driver, a driver that is too old or half updated, a hidden GPU, a
    container without GPUs.

    What to do: mend the cause. If none is named, run nvidia-smi, read the kernel log, and show a snapshot to
    whoever helps you.
    """
    if case.cuda_available or not _expects_gpu(case):
        return
    torch = case.facts.torch
    error = torch.available_error
    yield this.finding(
        say("torch.cuda.is_available() is False"),
        evidence=(
            fact("torch.cuda_available", False, torch.look),
            *((fact("torch.available_error", error.splitlines()[0][:240], torch.look),) if error else ()),
        ),
        fixes=(remedies.line(say("See whether the driver answers"), "nvidia-smi"), *remedies.report_it(case)),
        severity="error" if case.pasted or case.has_nvidia or case.build_kind == "rocm" else "warning",
        confidence="possible",
    )


def _expects_gpu(case: Case) -> bool:
    """Whether a GPU build, or a GPU whose driver works, says that one was meant to be used."""
    if case.build_kind == "cuda":
        return case.has_nvidia is not False
    if case.build_kind == "rocm":
        return bool(case.amd_pci or case.facts.amd.gpus) or case.facts.pci is None
    return bool(case.listed) and case.build_kind in ("cpu", None) and some_build_serves(case)


@check("EC403", "weak-true", severity="warning", needs=("cuda_available", "variables"))
def weak_true(this: Check, case: Case) -> Iterator[Finding]:
    """is_available() was answered without starting CUDA.

    What it means: with PYTORCH_NVML_BASED_CUDA_CHECK=1 torch asks the driver's management library only. True then
    means that a GPU is listed, not that CUDA works.

    Common causes: the variable was set so that processes can fork.

    What to do: trust a first computation instead, or unset the variable for the test.
    """
    name = "PYTORCH_NVML_BASED_CUDA_CHECK"
    proved = any(card.kernel_ok is not None for card in case.cards)
    if case.cuda_available and case.variable(name) == "1" and not proved:
        yield this.finding(
            say("is_available() says True without having started CUDA ({name}=1)", name=name),
            evidence=(fact(f"variables.{name}", "1", "environment"),),
            fixes=(remedies.unset(case, name),),
        )


@check("EC404", "first-kernel-failed", needs=("devices",), hears=("no_kernel_image",))
def first_kernel_failed(this: Check, case: Case) -> Iterator[Finding]:
    """A first computation on the GPU fails.

    What it means: torch sees the GPU, but an allocation, a product of matrices or its backward pass fails there.

    Common causes: the build has no kernels for the GPU, its memory is full, it is used exclusively by another
    program, or it is damaged.

    What to do: read the error; where another finding explains it, mend that one.
    """
    failed = [
        one for one in case.devices or () if one.kernel_ok is False and one.kind in ("cuda", "rocm", "xpu", "mps")
    ]
    for device in failed[:1]:
        yield this.finding(
            say("A first computation fails on {device}", device=_called(device)),
            evidence=tuple(
                fact(f"torch.devices[{one.index}].kernel_error", _last(one.kernel_error), case.facts.torch.look)
                for one in failed[:4]
            ),
            fixes=remedies.report_it(case),
            severity="warning" if _left_out(case, failed) else "error",
            confidence="likely",
        )
    told = case.said("no_kernel_image")
    if told and not failed:
        bare = not any(one.direction != "fits" for one in misfits(case))
        yield this.finding(
            say("This build of torch has no kernels for the GPU (no kernel image)"),
            why=say("which GPU and which release would tell whether the GPU is older or newer than the build")
            if bare
            else None,
            evidence=heard(told),
            fixes=remedies.reinstall_torch(case),
            cause=_direction(case) if bare and not case.facts.host.jetson else None,
            confidence="possible",
        )


def _direction(case: Case) -> str:
    """The likelier cause: a GPU of the newest families is newer than what failed, any other is older."""
    releases = sorted(case.catalogue.torch_releases(), key=numbers)
    middle = numbers(releases[len(releases) // 2])
    for card in case.cards[:1]:
        builds = [one for one in case.catalogue.builds() if one.cuda and card.capability]
        serve = [
            numbers(one.torch)
            for one in builds
            if any(
                case.catalogue.runs(kernel, card.capability or "") for kernel in one.capabilities if kernel[:3] == "sm_"
            )
        ]
        if serve and min(serve) > middle:
            return "gpu_too_new_for_wheel"
    return "gpu_too_old_for_wheel"


def _left_out(case: Case, failed: list[TorchDevice]) -> bool:
    """Whether those that fail are GPUs that the build has no kernels for, beside a first one that computes."""
    served = case.kernels or ()
    strange = [one for one in failed if not any(case.catalogue.runs(kernel, _target(one)) for kernel in served)]
    works = any(one.kernel_ok for one in case.devices or () if one.index == 0 and one.kind == failed[0].kind)
    return bool(served) and works and len(strange) == len(failed)


def _target(device: TorchDevice) -> str:
    return device.gfx or device.compute_capability or ""


def _called(device: TorchDevice) -> str:
    return f"{device.kind}:{device.index}" + (f" ({device.name})" if device.name else "")


def _last(text: str | None) -> str:
    lines = [line.strip() for line in (text or "?").splitlines() if line.strip()] or ["?"]
    told = [line for line in lines if "rror" in line]
    return (told[0] if told else lines[0])[:240]


CHECKS = (gpu_hidden, uvm_stale, no_device_at_start, cuda_error, cuda_unavailable, weak_true, first_kernel_failed)
