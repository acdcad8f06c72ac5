"""Programs on PATH that matter, by path, and CUDA toolkits on disk. Nothing is run; versions come from files."""

from envcheck.model.facts import Tool
from envcheck.probes.settings_conda import conda_root
from envcheck.probes.settings_reader import join
from envcheck.probes.system import System

PROGRAMS = (
    "python", "python3", "pip", "pip3", "uv", "conda", "mamba", "micromamba", "pixi", "poetry", "pdm",
    "nvcc", "nvidia-smi", "rocm-smi", "docker", "podman", "nvidia-ctk", "gcc", "cl", "ninja", "git",
)  # fmt: skip


def tools_on_path(system: System) -> tuple[Tool, ...]:
    """The programs of `PROGRAMS` that PATH finds, then CUDA toolkits (`cuda-toolkit`) with their version."""
    found = ((name, system.which(name, trusted=False)) for name in PROGRAMS)
    programs = tuple(Tool(name=name, path=path, version=_version(system, name, path)) for name, path in found if path)
    return (*programs, *_toolkits(system, programs))


def _version(system: System, name: str, path: str) -> str | None:
    if name == "nvcc":
        return toolkit_version(system, _parent(_parent(path)))
    if name == "conda":
        return _conda_version(system, conda_root(system))
    return None


def toolkit_version(system: System, folder: str) -> str | None:
    """The version that a CUDA toolkit's folder says, `12.4.1`: version.json, version.txt up to CUDA 10.2."""
    text = system.read(join(system, folder, "version.json")).text
    if text:
        import json

        try:
            document = json.loads(text)
            version = document["cuda"]["version"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return None
        return version if isinstance(version, str) else None
    words = (system.read(join(system, folder, "version.txt")).text or "").split()
    return words[2] if words[:2] == ["CUDA", "Version"] and len(words) > 2 else None


def _toolkits(system: System, programs: tuple[Tool, ...]) -> tuple[Tool, ...]:
    by_nvcc = [_parent(_parent(tool.path)) for tool in programs if tool.name == "nvcc" and tool.path]
    named = [system.env("CUDA_HOME"), system.env("CUDA_PATH"), None if system.windows else "/usr/local/cuda"]
    folders = dict.fromkeys(folder.rstrip("/\\") for folder in (*by_nvcc, *named) if folder)
    found = ((folder, toolkit_version(system, folder)) for folder in folders)
    return tuple(Tool(name="cuda-toolkit", path=folder, version=version) for folder, version in found if version)


def _conda_version(system: System, root: str | None) -> str | None:
    for name in (system.listdir(join(system, root, "conda-meta")) or ()) if root else ():
        head, _, _ = name.rpartition("-")
        package, _, version = head.rpartition("-")
        if package == "conda" and name.endswith(".json"):
            return version
    return None


def _parent(path: str) -> str:
    return path[: max(path.rfind("/"), path.rfind("\\"), 0)]
