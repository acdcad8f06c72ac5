"""What stands around the operating system, by files and variables: WSL, containers, Jetson boards, schedulers."""

import re

from envcheck.model.patterns import regex
from envcheck.probes.system import System

_CONTAINER_MARKS = (
    ("/run/.containerenv", "podman"),
    ("/.dockerenv", "docker"),
    ("/.singularity.d", "apptainer"),
)
_CGROUP_MARKS = (
    ("kubepods", "kubernetes"),
    ("docker", "docker"),
    ("libpod", "podman"),
    ("lxc", "lxc"),
    ("containerd", "containerd"),
    ("garden", "garden"),
)
_MOUNT_MARKS = (("/docker/", "docker"), ("/containers/storage/", "podman"), ("/containerd/", "containerd"))
_SCHEDULERS = (
    ("SLURM_JOB_ID", "slurm"),
    ("LSB_JOBID", "lsf"),
    ("PBS_JOBID", "pbs"),
    ("FLUX_JOB_ID", "flux"),
    ("OAR_JOB_ID", "oar"),
    ("COBALT_JOBID", "cobalt"),
    ("SGE_TASK_ID", "sge"),
    ("_CONDOR_JOB_AD", "htcondor"),
)
_SCHEDULER_GPUS = (
    "SLURM_STEP_GPUS",
    "SLURM_JOB_GPUS",
    "SLURM_GPUS_ON_NODE",
    "SLURM_GPUS",
    "SLURM_GPUS_PER_NODE",
    "SLURM_GPUS_PER_TASK",
    "LSB_GPU_ALLOC",
    "PBS_NGPUS",
    "OAR_GPUS",
)
_L4T = regex(r"#\s*R(\d{1,3})\s*\(release\),\s*REVISION:\s*([\d.]{1,16})")


def kernel_release(system: System) -> str | None:
    """`uname -r` of a Linux machine."""
    return (system.read("/proc/sys/kernel/osrelease", 512).text or "").strip() or None


def wsl(system: System) -> bool | None:
    """Whether this Linux runs under Windows; None when its kernel does not say its name."""
    if system.platform != "linux":
        return False
    release = kernel_release(system)
    return None if release is None else "microsoft" in release.lower()


def container(system: System) -> str | None:
    """`docker`, `podman`, `kubernetes`, ..., or `none`; None when /proc shows nothing at all."""
    if system.platform != "linux":
        return "none"
    if system.env("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if system.env("APPTAINER_CONTAINER") or system.env("SINGULARITY_CONTAINER"):
        return "apptainer"
    manager = (system.read("/run/systemd/container", 64).text or "").strip()
    named = system.env("container") or (manager if manager != "wsl" else "")
    marked = next((kind for path, kind in _CONTAINER_MARKS if system.exists(path)), None)
    return marked or (named[:32] if named else None) or _from_proc(system)


def _from_proc(system: System) -> str | None:
    cgroup = system.read("/proc/1/cgroup").text
    mounts = system.read("/proc/self/mountinfo", 1 << 18).text
    if cgroup is None and mounts is None:
        return None
    for mark, kind in _CGROUP_MARKS:
        if re.search(rf"[/:.-]{mark}(?=[/.:-]|\s|$)", cgroup or ""):
            return kind
    root = next((line for line in (mounts or "").splitlines() if re.search(r"^\S+ \S+ \S+ \S+ / ", line)), "")
    if " - overlay " in root:
        return next((kind for mark, kind in _MOUNT_MARKS if mark in root), "none")
    return "none"


def jetson(system: System) -> tuple[bool | None, str | None]:
    """Whether this is a Jetson board, and its model with its L4T release."""
    if system.platform != "linux":
        return False, None
    release = kernel_release(system)
    tegra = system.read("/etc/nv_tegra_release", 4096).text
    places = ("/proc/device-tree/model", "/sys/firmware/devicetree/base/model")
    model = next((text for path in places if (text := system.read(path, 256).text)), "").strip("\0 \n")
    says_tegra = bool(release and re.search(r"-tegra\b|-l4t-", release))
    board = "jetson" in model.lower() or "nvidia,tegra" in (system.read("/proc/device-tree/compatible", 512).text or "")
    found = says_tegra or board or (tegra is not None and system.machine == "aarch64")
    if not found:
        return (False if release is not None else None), None
    l4t = _L4T.search(tegra or "")
    parts = [model, f"L4T {l4t[1]}.{l4t[2]}" if l4t else ""]
    return True, ", ".join(part for part in parts if part) or None


def scheduler(system: System) -> tuple[str, str | None]:
    """The batch system whose job this is (`none` outside of a job), and the GPUs that it says it gave."""
    name = next((name for variable, name in _SCHEDULERS if system.env(variable)), "none")
    if name == "sge" and not system.env("SGE_ROOT"):
        name = "none"
    given = next((value for variable in _SCHEDULER_GPUS if (value := system.env(variable)) is not None), None)
    return name, given[:256] if given is not None and name != "none" else None
