"""EC2xx: containers and cluster jobs that were given no GPU."""

from collections.abc import Iterator

from envcheck.diagnosis import exhibits, remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.common import NO_CUDA, closed_to_user, refused_to_user
from envcheck.diagnosis.checks.driver_versions import told_elsewhere
from envcheck.diagnosis.cpu_build import cpu_build
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.machine import Said
from envcheck.diagnosis.rocm_build import rocm_asked
from envcheck.diagnosis.torch_build import asked, is_jetson
from envcheck.model.facts import DeviceNode
from envcheck.model.patterns import regex
from envcheck.model.report import Confidence, Evidence, Finding, Fix, Severity
from envcheck.model.shell import quote
from envcheck.model.text import Text, say

_DENIED = ("EPERM", "EACCES")
_ASKS = {
    "slurm": "srun --gres=gpu:1 --pty bash",
    "pbs": "qsub -I -l select=1:ngpus=1",
    "lsf": "bsub -gpu num=1 -Is bash",
    "sge": "qrsh -l gpu=1",
}
_WISH: dict[str | None, Severity] = {"cuda": "error", None: "warning"}


def _gpu_nodes(case: Case) -> tuple[DeviceNode, ...]:
    return tuple(node for node in case.nodes or () if node.path.removeprefix("/dev/nvidia").isdigit())


_GIVEN = regex(r"""\s--gpus\b(?![= ]["']?0["']?\s)|--runtime[= ]nvidia\b""")
_MISSED = ("driver_missing", "no_cuda_gpus", "smi_absent", "no_device_nodes", "no_platform")


@check(
    "EC228",
    "container-toolkit-missing",
    cause="container_toolkit_missing",
    hears=("container_toolkit_missing",),
    needs=("anything_said",),
    explains=(*NO_CUDA, "EC204", "EC202"),
)
def container_toolkit_missing(this: Check, case: Case) -> Iterator[Finding]:
    """Docker does not know how to hand out GPUs.

    What it means: Docker was asked for a GPU (--gpus) and has nothing that could provide it: the NVIDIA Container
    Toolkit is not installed, or Docker was not told of it.

    Common causes: a fresh host; Docker from snap, or Docker Desktop's own engine, which does not see the toolkit.

    What to do: install nvidia-container-toolkit on the host, configure the runtime, and restart Docker.
    """
    told = case.said("container_toolkit_missing")
    if told:
        yield this.finding(
            say("Docker has no NVIDIA runtime: the NVIDIA Container Toolkit is missing on the host"),
            evidence=heard(told),
            fixes=remedies.install_container_toolkit(case),
        )


@check(
    "EC204",
    "container-without-gpu",
    cause="container_no_gpu",
    hears=(
        "container_no_gpu",
        "docker_without_gpus",
        "docker_build_log",
        "dev_without_nvidia",
        "nvidia_libs_missing",
        "driver_too_old",
        *_MISSED,
    ),
    needs=("in_container", "nodes"),
    explains=(*NO_CUDA, "EC202", "EC213", "EC216", "EC244", "EC320"),
)
def container_without_gpu(this: Check, case: Case) -> Iterator[Finding]:
    """The container was started without its host's GPUs.

    What it means: a container sees a GPU only when it is started with it: then the runtime brings in the devices
    (/dev/nvidia0) and the driver's libraries (libcuda). Here one of them is missing.

    Common causes: docker run without --gpus all; --privileged does not replace it; a pod without a limit for
    nvidia.com/gpu; NVIDIA_VISIBLE_DEVICES=void or none; NVIDIA_DRIVER_CAPABILITIES without "compute".

    What to do: start the container with its GPUs. On Colab, Kaggle or AutoDL, choose a GPU on the site.
    """
    told = case.said("container_no_gpu") or _started_without(case) or _board_without_libraries(case)
    lacking = _lacking(case)
    outside = case.pasted and (
        case.said("docker_without_gpus") or case.said("container_no_gpu") or _no_devices(case) or told_elsewhere(case)
    )  # a table beside it is then the host's
    if case.cuda_available or (case.listed and not lacking and not outside) or not (told or lacking):
        return
    capabilities = case.variable("NVIDIA_DRIVER_CAPABILITIES")
    fixes = remedies.give_container_gpus(case)
    if lacking and case.listed and capabilities is not None:
        fixes = (remedies.set_in_container("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"),)
    yield this.finding(
        say("This container was started without a GPU of its host")
        if case.rented is None
        else say("This machine was started without a GPU"),
        evidence=(*heard(told), *lacking),
        fixes=fixes,
        severity="error" if told else _WISH.get(case.build_kind, "info"),
        confidence="certain" if lacking else "possible" if case.pasted and _either(case, told) else "likely",
    )


def _either(case: Case, told: Said) -> bool:
    """Whether something else may be to blame as well.

    The GPUs were asked for; a device plugin finds no library; or only an address tells whose machine it is.
    """
    linked = not case.in_container and case.said("rented_page") and not case.said("rented_machine")
    if linked and not case.said("docker_without_gpus"):
        return True
    plugin = all("could not load NVML library" in message.text for message, _ in told)
    return asked(case, _GIVEN) is not None or (bool(told) and plugin)


def _started_without(case: Case) -> Said:
    """A command that starts a container without GPUs counts when something inside missed one."""
    missed = () if case.said("container_lost_gpu_cgroup") else _missed(case)
    given = (case.variable("CUDA_VISIBLE_DEVICES") or "")[:1].isdigit()
    handed_out = case.scheduler == "slurm" and given and not case.listed
    if not missed or handed_out or case.said("container_toolkit_missing"):
        return ()
    outside = case.listed and not told_elsewhere(case)
    inside = case.in_container or case.rented or (case.said("about_a_container") and not outside)
    inside = inside and not rocm_asked(case)  # what was handed over is AMD's
    inside = case.pasted and inside and not case.facts.host.wsl and case.build_kind in (None, "cuda")
    return case.said("docker_without_gpus") or _no_devices(case) or (missed if inside else ())


def _no_devices(case: Case) -> Said:
    """A listing of the container's /dev that has none of NVIDIA's."""
    return case.said("dev_without_nvidia") if case.in_container else ()


def _board_without_libraries(case: Case) -> Said:
    """NVIDIA's runtime brings the CUDA libraries of a Jetson board into its containers; without it they are missing."""
    if not case.in_container or not is_jetson(case) or asked(case, _GIVEN):
        return ()
    return case.said("nvidia_libs_missing")


def _missed(case: Case) -> Said:
    """What was said where a GPU or its driver was missed; a bare answer of torch counts where nothing was said."""
    said = next((found for slug in _MISSED if (found := _inside(case.said(slug)))), ()) or told_elsewhere(case)
    built = case.said("docker_build_log") if cpu_build(case) is None else ()  # a build without CUDA is reason enough
    started = case.said("docker_without_gpus") or built or _no_devices(case)
    return said or (started if case.cuda_available is False else ())


def _inside(said: Said) -> Said:
    """Without what the runtime says on the host, where it was asked for GPUs and finds no driver."""
    return tuple(one for one in said if "nvidia-container-cli" not in one[0].text)


def _lacking(case: Case) -> tuple[Evidence, ...]:
    """What shows that the host has a GPU and the container has not."""
    if not case.in_container or case.nodes is None or case.facts.host.wsl:
        return ()
    module = case.module("nvidia")
    host = [exhibits.module(module)] if module and module.loaded else []
    host += [exhibits.pci(card) for card in (case.nvidia_pci or ())[:1]]
    if not host:
        return ()
    variables = ("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES")
    told = [
        fact(f"variables.{name}", value, "environment")
        for name in variables
        if (value := case.variable(name)) is not None
    ]
    if not _gpu_nodes(case):
        return (*host, fact("nvidia.nodes", "no /dev/nvidia0", "files"), *told)
    absent = [one for one in case.libraries("libcuda") if one.path is None and one.error]
    if case.has_library("libcuda") is False and absent and not case.said("driver_library_unreadable"):
        return (*host, *map(exhibits.library, absent[:1]), *told)
    return ()


@check(
    "EC226",
    "container-lost-gpu",
    cause="container_lost_gpu_cgroup",
    hears=("container_lost_gpu_cgroup",),
    needs=("in_container", "nodes"),
    explains=(*NO_CUDA, "EC227"),
)
def container_lost_gpu(this: Check, case: Case) -> Iterator[Finding]:
    """The container had its GPUs and lost them.

    What it means: the device files are there, but opening them is refused, and NVML says "Unknown Error". The host
    took the permission away while the container ran; outside everything works.

    Common causes: systemctl daemon-reload on the host (an update does it, too) rewrites the cgroup's device rules,
    of which systemd does not know those that the container runtime added.

    What to do: start the container anew. To keep it from coming back, let Docker use cgroupfs, or hand the GPUs
    over through CDI.
    """
    told, status = case.said("container_lost_gpu_cgroup"), case.nvml_status(999)
    refused = [node for node in case.nodes or () if node.error == "EPERM"]
    live = case.in_container and status and (refused or _gpu_nodes(case))
    listed = case.listed and not (told and case.pasted)  # what was listed in a paste, was so before or outside
    slept = case.pasted and not case.in_container and case.said("machine_slept")  # that has the same effect
    if case.in_container is False or listed or slept or not (told or live):
        return
    yield this.finding(
        say("The container lost its access to the GPU while it ran"),
        evidence=(
            *heard(told),
            *((exhibits.status(status),) if status and not told else ()),
            *map(exhibits.node, refused[:2]),
        ),
        fixes=(
            remedies.line(say("On the host, start the container anew"), "docker restart CONTAINER"),
            remedies.line(
                say("To keep it from coming back, hand the GPUs over through CDI"),
                "docker run --device nvidia.com/gpu=all IMAGE COMMAND",
            ),
            remedies.step(
                say('Set "exec-opts": ["native.cgroupdriver=cgroupfs"] in /etc/docker/daemon.json'),
                alternative=True,
            ),
        ),
        confidence="certain" if live and refused else "likely",
    )


@check(
    "EC227",
    "gpu-device-denied",
    cause="device_permission",
    hears=("access_blocked",),
    needs=("nodes",),
    explains=NO_CUDA,
)
def gpu_device_denied(this: Check, case: Case) -> Iterator[Finding]:
    """The device files of the GPU may not be opened by this user.

    What it means: /dev/nvidia0 or /dev/nvidiactl is there, but this user may not open it, or the driver itself
    refuses (NVML errors 4 and 17). A GPU that is closed in this way does not exist for CUDA.

    Common causes: the files are limited to a group; a cluster gives a job some of the node's GPUs and closes the
    others, or all of them outside of jobs; a container runs as a user without the rights.

    What to do: become a member of the group that owns the files and log in anew, or ask for a GPU in the job.
    """
    told, status, closed = case.said("access_blocked"), refused_to_user(case), closed_to_user(case)
    denied = [
        node for node in case.nodes or () if node.error in _DENIED or (node.readable, node.writable) == (False, False)
    ]
    some = len(closed) < len(case.listed or ())
    if case.facts.host.wsl or (some and not closed) or not (told or denied or status or closed):
        return
    if case.cuda_available and not closed:
        return
    open_ones = case.cuda_available or some
    yield this.finding(
        _who_may_not(len(closed), len(case.listed or ()), by_files=bool(denied)),
        evidence=(
            *map(exhibits.node, denied[:3]),
            *((exhibits.status(status),) if status else ()),
            *(fact(f"nvidia.gpus[{gpu.index}].error", gpu.error, gpu.look) for gpu in closed[:3]),
            *heard(told),
        ),
        fixes=() if open_ones else _let_in(case, denied),
        severity="error" if not open_ones and case.build_kind in (None, "cuda") else "info",
        confidence="certain" if denied or closed else "likely",
    )


def _who_may_not(closed: int, listed: int, *, by_files: bool) -> Text:
    if closed:
        return say("{closed} of {listed} GPUs are closed to this user or job", closed=closed, listed=listed)
    if by_files:
        return say("This user may not open the device files of the GPU")
    return say("The driver refuses to talk to this user")


def _let_in(case: Case, denied: list[DeviceNode]) -> tuple[Fix, ...]:
    group = next((node.group for node in denied if node.group not in (None, "root")), None)
    if group is not None:
        what = say("Become a member of the group {group}, then log in anew", group=group)
        return (remedies.line(what, f'sudo usermod -aG {quote(group)} "$USER"'),)
    if case.scheduler not in (None, "none"):
        return _ask_for_gpu(case)
    return (remedies.line(say("See who may open the device files"), "ls -l /dev/nvidia*"),)


@check(
    "EC240",
    "job-without-gpu",
    cause="slurm_no_gpu",
    hears=("slurm_no_gpu", "job_asked_no_gpu", "job_script_asks_no_gpu"),
    needs=("scheduler",),
    explains=(*NO_CUDA, "EC213", "EC202", "EC216", "EC227", "EC402"),
)
def job_without_gpu(this: Check, case: Case) -> Iterator[Finding]:
    """The cluster job was given no GPU.

    What it means: the program runs inside a job of a scheduler, and the job did not ask for a GPU. The scheduler
    hides the node's GPUs from it.

    Common causes: --gres=gpu:1 (or --gpus=1) is missing in the job script; the partition has no GPUs; the program
    runs on a login node.

    What to do: ask for a GPU in the job.
    """
    told = case.said("slurm_no_gpu") or _asked_for_none(case)
    in_job = case.scheduler not in (None, "none")
    hidden = case.variable("CUDA_VISIBLE_DEVICES") in (None, "", "NoDevFiles")
    nothing = not case.facts.host.scheduler_gpus and hidden and not case.listed and not case.cards
    missed = case.cuda_available is False and case.build_kind == "cuda"
    none_left = case.variable("CUDA_VISIBLE_DEVICES") == "NoDevFiles"
    if not told and not (in_job and ((nothing and missed) or none_left)):
        return
    value = case.variable("CUDA_VISIBLE_DEVICES")
    yield this.finding(
        say("This job of {scheduler} was given no GPU", scheduler=case.scheduler or "slurm"),
        evidence=(
            fact("host.scheduler", case.scheduler or "slurm", "host"),
            *((fact("variables.CUDA_VISIBLE_DEVICES", value, "environment"),) if value is not None else ()),
            *heard(told),
        ),
        fixes=_ask_for_gpu(case),
        severity="warning" if case.has_nvidia is False else "error",
        confidence=_how_sure(case, told) if not none_left else "certain",
    )


def _how_sure(case: Case, told: Said) -> Confidence:
    """A scheduler's own words and a request without GPUs are sure; that a GPU is missed in a job is less."""
    if _asked_for_some(case):
        return "possible"
    own = case.said("slurm_no_gpu") or case.said("job_asked_no_gpu") or case.said("job_script_asks_no_gpu")
    node = any(case.said(slug) for slug in ("module_not_loaded", "gpu_init_failed"))
    if own:
        return "certain"
    return "possible" if told and node else "likely"


def _asked_for_some(case: Case) -> bool:
    """Whether a command or a job script asks the scheduler for GPUs."""
    return case.pasted and any("--gres" in one.text or "--gpus" in one.text for one in case.facts.messages)


def _asked_for_none(case: Case) -> Said:
    """A command that starts a job without a GPU counts when something in the job missed one."""
    slugs = (*_MISSED, "module_not_loaded", "gpu_init_failed")
    missed = any(case.said(slug) for slug in slugs) or case.cuda_available is False
    asked = case.said("job_asked_no_gpu") or case.said("job_script_asks_no_gpu")
    inside = case.facts.sightings.get("torch.cuda_available", ()) if case.scheduler == "slurm" else ()
    if len(inside) > 1 and not asked and not case.listed:  # it sees a GPU here and none in the job
        return tuple((one, {}) for one in case.facts.messages if "srun" in one.text)[:1]
    if asked or not missed or not case.pasted or case.scheduler != "slurm" or case.listed:
        return asked if missed else ()
    slugs = (*_MISSED, "module_not_loaded", "gpu_init_failed")
    handed = _asked_for_some(case) and case.variable("CUDA_VISIBLE_DEVICES") is not None
    return () if handed else next((found for slug in slugs if (found := case.said(slug))), ())


def _ask_for_gpu(case: Case) -> tuple[Fix, ...]:
    what = say("Ask for a GPU in the job (in a job script: the same option)")
    ask = _ASKS.get(case.scheduler or "slurm")
    return (remedies.line(what, ask) if ask else remedies.step(what),)


CHECKS = (container_toolkit_missing, container_without_gpu, container_lost_gpu, job_without_gpu, gpu_device_denied)
