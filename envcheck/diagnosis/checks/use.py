"""EC4xx: using the devices: memory, exclusive use, wrong numbers, forks, the CPU, MPS and XPU."""

from collections.abc import Iterator

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.model.facts import Gpu
from envcheck.model.report import Finding, Fix
from envcheck.model.text import say

_FULL = 0.10
"""The part of a GPU's memory that must be free for work to begin."""
_ALONE = ("exclusive_process", "exclusive_thread", "prohibited")


@check(
    "EC405", "gpu-memory-taken", severity="warning", cause="gpu_memory_taken", needs=("listed",), explains=("EC412",)
)
def gpu_memory_taken(this: Check, case: Case) -> Iterator[Finding]:
    """Almost all memory of a GPU is taken.

    What it means: other programs hold the GPU's memory; a training that starts now will run out of it.

    Common causes: another user's or an earlier run's process still lives; a notebook keeps its tensors.

    What to do: see who uses the GPU, stop what is no longer needed, or choose another GPU.
    """
    full = [
        gpu
        for gpu in case.listed or ()
        if gpu.memory_bytes
        and gpu.memory_free_bytes is not None
        and not gpu.unified_memory
        and gpu.memory_free_bytes < _FULL * gpu.memory_bytes
    ]
    if not full:
        return
    works = all(card.kernel_ok for card in case.cards) and bool(case.facts.torch.devices)
    gpu = full[0]
    free, total = (gpu.memory_free_bytes or 0) >> 20, (gpu.memory_bytes or 0) >> 20
    yield this.finding(
        say("GPU {index} has only {free} MiB of {total} MiB free", index=gpu.index, free=free, total=total),
        evidence=tuple(
            fact(f"nvidia.gpus[{one.index}].memory_free_bytes", one.memory_free_bytes, one.look) for one in full[:4]
        ),
        fixes=(
            remedies.line(say("See who uses it"), "nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv"),
            remedies.step(say("Stop the programs of yours that are no longer needed")),
            *_another_gpu(case, full),
        ),
        severity="info" if works else "error" if case.said("out_of_memory") else "warning",
    )


def _another_gpu(case: Case, full: list[Gpu]) -> tuple[Fix, ...]:
    """Keep to the GPUs that have memory left; CUDA's order is the driver's where all are alike."""
    gpus = case.listed or ()
    free = [str(gpu.index) for gpu in gpus if gpu not in full and gpu.error is None]
    alike = len({gpu.name for gpu in gpus}) == 1
    return remedies.otherwise(remedies.see_gpus(case, ",".join(free))) if free and alike else ()


@check(
    "EC408",
    "gpu-in-exclusive-use",
    cause="exclusive_mode",
    needs=("listed",),
    hears=("exclusive_mode",),
    explains=("EC401", "EC404"),
)
def gpu_in_exclusive_use(this: Check, case: Case) -> Iterator[Finding]:
    """The GPU may be used by one process at a time.

    What it means: the compute mode of the GPU is "exclusive process" or "prohibited". A second process gets "all
    CUDA-capable devices are busy or unavailable".

    Common causes: a cluster sets the mode for its jobs; several processes were started on the same GPU.

    What to do: give each process a GPU of its own, or set the mode back to default.
    """
    told = case.said("exclusive_mode")
    alone = [gpu for gpu in case.listed or () if gpu.compute_mode in _ALONE]
    works = bool(case.cuda_available) and all(card.kernel_ok is not False for card in case.cards)
    closed = any(gpu.compute_mode == "prohibited" for gpu in alone)
    if not told and not alone:
        return
    yield this.finding(
        say("The GPU may be used by one process at a time, and is busy")
        if told
        else say("The compute mode of a GPU is {mode}", mode=alone[0].compute_mode),
        evidence=(
            *heard(told),
            *(fact(f"nvidia.gpus[{gpu.index}].compute_mode", gpu.compute_mode, gpu.look) for gpu in alone[:4]),
        ),
        fixes=(
            remedies.line(say("See who uses it"), "nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv"),
            remedies.as_root(case, say("Set the compute mode back to default"), "nvidia-smi", "-c", "0"),
        ),
        severity="error" if told or (closed and not works) or (alone and case.cuda_available is False) else "info",
        # A device that another machine lends, or that has no licence, is "busy", too.
        confidence="certain" if told and alone else "possible" if told else "likely",
    )


@check(
    "EC409",
    "device-index-too-high",
    cause="invalid_ordinal",
    needs=("anything_said",),
    hears=("invalid_ordinal", "device_asked"),
)
def device_index_too_high(this: Check, case: Case) -> Iterator[Finding]:
    """A program asks for a GPU that is not there.

    What it means: the program names a device number that is not below the number of visible GPUs ("invalid device
    ordinal").

    Common causes: cuda:1 is written into the code of a machine with one GPU; more processes are started than GPUs
    are visible; a checkpoint was saved on another GPU.

    What to do: use a number below torch.cuda.device_count(), start as many processes as GPUs, or load with
    map_location.
    """
    started = {id(message) for message, _ in case.said("invalid_ordinal_init_101")}
    told = tuple(one for one in case.said("invalid_ordinal") if id(one[0]) not in started)
    count = case.facts.torch.device_count
    told = told or tuple(one for one in case.said("device_asked") if count and int(one[1]["asked"]) >= count)
    if not told or case.said("gpu_init_failed"):
        return
    groups = told[0][1]
    yield this.finding(
        say("A program asks for a GPU number that is not there"),
        evidence=(
            *heard(told),
            *((fact("torch.device_count", count, case.facts.torch.look),) if count is not None else ()),
        ),
        fixes=_fewer(groups),
    )


def _fewer(groups: dict[str, str]) -> tuple[Fix, ...]:
    if "asked" in groups and "count" in groups:
        return (remedies.step(say('Load the checkpoint with torch.load(..., map_location="cuda:0")')),)
    return (
        remedies.step(say("In the code, use a number below torch.cuda.device_count(); the first GPU is cuda:0")),
        remedies.step(say("Under torchrun, start one process per visible GPU: --nproc-per-node=gpu"), alternative=True),
    )


@check(
    "EC412",
    "out-of-memory",
    cause="out_of_memory",
    needs=("anything_said",),
    hears=("out_of_memory",),
    explains=("EC404",),
)
def out_of_memory(this: Check, case: Case) -> Iterator[Finding]:
    """The GPU ran out of memory.

    What it means: CUDA works; the program asked for more memory than the GPU has free.

    Common causes: the batch or the model is too large for the GPU; other processes hold memory.

    What to do: make the batch smaller, use lower precision or gradient checkpointing, or stop the other processes.
    """
    told = case.said("out_of_memory")
    if told:
        yield this.finding(
            say("The GPU ran out of memory"),
            evidence=heard(told),
            fixes=(
                remedies.line(
                    say("See who uses it"), "nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv"
                ),
                remedies.step(say("Make the batch smaller, or use bfloat16 or gradient checkpointing")),
            ),
        )


@check("EC413", "cuda-after-fork", cause="cuda_after_fork", needs=("anything_said",), hears=("cuda_after_fork",))
def cuda_after_fork(this: Check, case: Case) -> Iterator[Finding]:
    """CUDA is used in a forked process.

    What it means: CUDA was started in a process that then forked; the child cannot use it. The machine is well.

    Common causes: a DataLoader or multiprocessing on Linux, after something touched CUDA.

    What to do: start processes by spawn, and touch CUDA only inside them.
    """
    told = case.said("cuda_after_fork")
    if told:
        yield this.finding(
            say("CUDA was started before the process forked"),
            evidence=heard(told),
            fixes=(remedies.step(say('In the code: torch.multiprocessing.set_start_method("spawn")')),),
        )


@check("EC406", "cpu-computes-wrong", cause="cpu_kernel_failed", needs=("cpu_kernel_ok",))
def cpu_computes_wrong(this: Check, case: Case) -> Iterator[Finding]:
    """A first computation on the CPU fails.

    What it means: torch was imported, but a small product of matrices or its backward pass on the CPU failed or
    gave wrong numbers. Nothing else can be trusted then.

    Common causes: libraries that do not belong together (MKL, OpenMP, numpy); damaged files; faulty memory or an
    overclocked processor.

    What to do: install torch anew in a fresh environment; run envcheck verify-backprop.
    """
    if case.cpu_kernel_ok is False:
        yield this.finding(
            say("A first computation on the CPU fails or gives wrong numbers"),
            evidence=(fact("torch.cpu_kernel_ok", False, case.facts.torch.look),),
            fixes=(
                remedies.envcheck(case, say("See which operation goes wrong"), "verify-backprop"),
                *remedies.reinstall_torch(case),
            ),
        )


@check("EC416", "mps-unavailable", severity="warning", cause="mps_unavailable", needs=("mps_available", "on_macos"))
def mps_unavailable(this: Check, case: Case) -> Iterator[Finding]:
    """The Apple GPU cannot be used.

    What it means: this is a Mac with Apple silicon, but torch.backends.mps.is_available() is False.

    Common causes: macOS is older than torch asks for; a Python for Intel under Rosetta; a virtual machine without a
    GPU.

    What to do: update macOS, and use a Python for arm64.
    """
    if case.on_macos and case.facts.host.machine == "arm64" and case.mps_available is False:
        yield this.finding(
            say("torch.backends.mps.is_available() is False on Apple silicon"),
            evidence=(
                fact("torch.mps_available", False, case.facts.torch.look),
                fact("host.os_name", case.facts.host.os_name or "?", "host"),
            ),
            fixes=(remedies.step(say("Update macOS, and use a Python for arm64")),),
        )


@check("EC417", "xpu-unavailable", cause="xpu_driver_or_permission", needs=("xpu_available",), explains=("EC404",))
def xpu_unavailable(this: Check, case: Case) -> Iterator[Finding]:
    """The Intel GPU cannot be used.

    What it means: torch is an XPU build, but torch.xpu.is_available() is False.

    Common causes: Intel's compute runtime (Level Zero) is not installed; the user may not open /dev/dri/renderD128;
    the GPU is older than the build supports.

    What to do: install Intel's GPU driver with its compute runtime, and join the group render.
    """
    if case.build_kind != "xpu" or case.xpu_available or case.intel_pci == ():
        return
    yield this.finding(
        say("torch.xpu.is_available() is False"),
        evidence=(
            fact("torch.xpu_available", False, case.facts.torch.look),
            fact("torch.version", case.torch_version or "?"),
        ),
        fixes=(
            remedies.step(say("Install Intel's GPU driver with its compute runtime (Level Zero)")),
            *(
                (remedies.line(say("Join the group render, then log in anew"), 'sudo usermod -aG render "$USER"'),)
                if case.facts.host.os == "linux"
                else ()
            ),
        ),
    )


@check(
    "EC419",
    "fewer-devices-than-gpus",
    severity="warning",
    cause="gpu_not_in_cuda",
    needs=("device_count", "listed", "variables"),
)
def fewer_devices_than_gpus(this: Check, case: Case) -> Iterator[Finding]:
    """CUDA sees fewer GPUs than the driver.

    What it means: nvidia-smi lists GPUs that torch.cuda.device_count() does not count, and no variable hides them.

    Common causes: a GPU that CUDA no longer supports, one in compute mode prohibited, one that is being reset.

    What to do: compare nvidia-smi with the devices that torch lists; read the kernel log.
    """
    divided = any(gpu.mig_enabled for gpu in case.listed or ())
    hidden = case.variable("CUDA_VISIBLE_DEVICES") is not None
    count, listed = case.device_count or 0, sum(gpu.error is None for gpu in case.listed or ())
    if not case.cuda_available or divided or hidden or case.jetson or case.build_kind != "cuda" or count >= listed:
        return
    yield this.finding(
        say("The driver lists {listed} GPUs, CUDA sees {count}", listed=listed, count=count),
        evidence=(fact("nvidia.gpus", listed, "nvml"), fact("torch.device_count", count, case.facts.torch.look)),
        fixes=(remedies.kernel_log(case),),
    )


@check("EC420", "slowing-variable", severity="info", needs=("variables",))
def slowing_variable(this: Check, case: Case) -> Iterator[Finding]:
    """A variable makes the GPU slow.

    What it means: CUDA_LAUNCH_BLOCKING=1 (AMD_SERIALIZE_KERNEL=3) lets every call wait for the GPU. That is for the
    search of errors.

    Common causes: it was set to find an error and forgotten.

    What to do: unset it.
    """
    for name in ("CUDA_LAUNCH_BLOCKING", "AMD_SERIALIZE_KERNEL"):
        value = case.variable(name)
        if value not in (None, "", "0"):
            yield this.finding(
                say("{name}={value} makes every call wait for the GPU", name=name, value=value),
                evidence=(fact(f"variables.{name}", value, "environment"),),
                fixes=(remedies.unset(case, name),),
            )
            return


@check("EC421", "gpu-order-differs", severity="info", needs=("listed", "variables"))
def gpu_order_differs(this: Check, case: Case) -> Iterator[Finding]:
    """CUDA may number the GPUs differently from nvidia-smi.

    What it means: CUDA puts the fastest GPU first, nvidia-smi goes by the bus. With different GPUs in one machine,
    CUDA_VISIBLE_DEVICES=1 may then choose another card than nvidia-smi's number 1.

    Common causes: cards of different models in one machine.

    What to do: set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name GPUs by their UUID.
    """
    value = case.variable("CUDA_VISIBLE_DEVICES") or ""
    models = {gpu.name for gpu in case.listed or () if gpu.name}
    if len(models) < 2 or not any(part.strip().isdigit() for part in value.split(",")):
        return
    if case.variable("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return
    yield this.finding(
        say("CUDA may number these different GPUs otherwise than nvidia-smi does"),
        evidence=(
            fact("variables.CUDA_VISIBLE_DEVICES", value, "environment"),
            *(fact(f"nvidia.gpus[{gpu.index}].name", gpu.name, gpu.look) for gpu in (case.listed or ())[:4]),
        ),
        fixes=(remedies.set_variable(case, "CUDA_DEVICE_ORDER", "PCI_BUS_ID"),),
    )


@check("EC422", "amd-target-overridden", severity="info", needs=("variables", "build_kind"))
def amd_target_overridden(this: Check, case: Case) -> Iterator[Finding]:
    """The AMD GPU runs the kernels of a relative.

    What it means: HSA_OVERRIDE_GFX_VERSION makes ROCm treat the GPU as another target. It often works, and AMD does
    not support it.

    Common causes: the official builds have no kernels for this GPU.

    What to do: nothing while results are right; envcheck verify-backprop tells. Unset it where the build has
    kernels.
    """
    value = case.variable("HSA_OVERRIDE_GFX_VERSION")
    if value and case.build_kind == "rocm":
        yield this.finding(
            say("HSA_OVERRIDE_GFX_VERSION={value}: the AMD GPU runs the kernels of a relative", value=value),
            evidence=(fact("variables.HSA_OVERRIDE_GFX_VERSION", value, "environment"),),
        )


CHECKS = (
    gpu_memory_taken,
    gpu_in_exclusive_use,
    device_index_too_high,
    out_of_memory,
    cuda_after_fork,
    cpu_computes_wrong,
    mps_unavailable,
    xpu_unavailable,
    fewer_devices_than_gpus,
    slowing_variable,
    gpu_order_differs,
    amd_target_overridden,
)
