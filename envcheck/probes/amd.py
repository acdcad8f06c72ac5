"""AMD's compute stack from files: KFD's topology, the nodes that a program must open, ROCm's version."""

import re
import time

from envcheck.model.facts import Amd, AmdGpu, DeviceNode, Observation, State
from envcheck.probes.outcome import since
from envcheck.probes.system import System, within

_TOPOLOGY = "/sys/class/kfd/kfd/topology/nodes"
_NAMELESS = "ip discovery"
"""What newer kernels write where older ones had a name."""
_OPEN_LIMIT = 0.5
MAX_NODES = 256


def look(system: System) -> tuple[Amd, tuple[Observation, ...]]:
    """KFD's GPUs, in its own order, and whether this user may open what ROCm opens."""
    begun = time.monotonic()
    if system.platform != "linux":
        return Amd(), (Observation(look="kfd", state="skipped", detail="ROCm is asked on Linux only"),)
    troubles: list[str] = []
    gpus = _gpus(system, troubles)
    amd = Amd(
        gpus=gpus,
        kfd=_kfd(system),
        render_nodes=_render_nodes(system),
        rocm_version=_rocm_version(system),
    )
    state: State = "failed" if troubles else "absent" if gpus is None else "ok"
    detail = "; ".join(troubles[:4]) or (None if gpus is not None else f"no {_TOPOLOGY}")
    return amd, (Observation(look="kfd", state=state, ms=since(begun), detail=detail),)


def gfx_name(target_version: int) -> str | None:
    """`gfx90a` of 90010, `gfx1100` of 110000: major * 10000 + minor * 100 + step, minor and step in hexadecimal.

    Source: KFD's `gfx_target_version` (linux/drivers/gpu/drm/amd/amdkfd), read 2026-11-24.
    """
    if not 70000 <= target_version < 1000000:
        return None
    return f"gfx{target_version // 10000}{target_version // 100 % 100:x}{target_version % 100:x}"


def parse_properties(text: str) -> dict[str, int]:
    """Numbers of a KFD node's properties file by their names."""
    pairs = (line.split() for line in text.splitlines()[:256])
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and re.fullmatch(r"\d{1,20}", pair[1])}


def _gpus(system: System, troubles: list[str]) -> tuple[AmdGpu, ...] | None:
    """Nodes with a GPU behind them (a CPU's node has target version 0); None without KFD.

    In a container the nodes of the GPUs that it was not given refuse to be read: no trouble as long as one answers.
    """
    names = system.listdir(_TOPOLOGY)
    if names is None:
        return None
    found: list[AmdGpu] = []
    for name in sorted((name for name in names if name.isdigit()), key=int)[:MAX_NODES]:
        read = system.read(f"{_TOPOLOGY}/{name}/properties")
        if read.text is None:
            troubles.append(f"{_TOPOLOGY}/{name}/properties: {read.error}")
            continue
        gfx = gfx_name(parse_properties(read.text).get("gfx_target_version", 0))
        if gfx is not None:
            told = (system.read(f"{_TOPOLOGY}/{name}/name").text or "").strip()[:128]
            found.append(AmdGpu(index=len(found), gfx=gfx, name=told if told and told != _NAMELESS else None))
    if found:
        troubles[:] = [one for one in troubles if not one.endswith((": EPERM", ": EACCES"))]
    return tuple(found)


def _kfd(system: System) -> DeviceNode | None:
    """/dev/kfd, opened: a container's device rules show only then."""
    if not system.exists("/dev/kfd"):
        return system.node("/dev/kfd")
    opened = within(_OPEN_LIMIT, lambda: system.node("/dev/kfd", try_open=True))
    return opened or DeviceNode(path="/dev/kfd", error="ETIMEDOUT")


def _render_nodes(system: System) -> tuple[DeviceNode, ...] | None:
    names = system.listdir("/dev/dri")
    if names is None:
        return None
    found = (system.node(f"/dev/dri/{name}") for name in names if re.fullmatch(r"renderD\d{1,4}", name))
    return tuple(node for node in found if node is not None)


def _rocm_version(system: System) -> str | None:
    """`6.2.0` of `/opt/rocm/.info/version`."""
    installed = [f"/opt/{name}" for name in system.listdir("/opt") or () if re.fullmatch(r"rocm-[\d.]{1,16}", name)]
    given = system.env("ROCM_PATH") or ""
    for folder in (given, "/opt/rocm", *reversed(installed)):
        text = system.read(f"{folder}/.info/version", 256).text if folder.startswith("/") else None
        match = re.match(r"\d{1,3}(?:\.\d{1,6}){1,3}", (text or "").strip())
        if match:
            return match[0]
    return None
