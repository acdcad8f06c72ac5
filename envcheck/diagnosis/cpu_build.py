"""Why a build of torch has no CUDA: conda, a cache, the default index of Windows or of Arm, a Jetson, macOS. Pure."""

import re
from collections.abc import Callable
from functools import lru_cache

from envcheck.catalogue.software import limit
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.exhibits import fact as saw
from envcheck.diagnosis.exhibits import heard
from envcheck.diagnosis.machine import Said
from envcheck.diagnosis.packages import conda_packages, package
from envcheck.diagnosis.torch_build import CUDA_INDEX, asked, conda_cpu_packages, has_cuda, is_jetson, nvidia_seen
from envcheck.model.base import Plain
from envcheck.model.patterns import regex
from envcheck.model.report import Confidence, Evidence

CPU_INDEX = regex(r"/whl/(?:nightly/|test/)?cpu\b|pytorch-wheels/cpu\b|torch==?\S*\+cpu\b|--torch-backend[= ]cpu\b")
_NO_PLAIN_INSTALL = regex(
    r"--index-url|--extra-index-url|\s-i\s|\s-f\s|--find-links|\+c[pu]|--index\b|requirements|\.whl\b"
)
_PLAIN_INSTALL = regex(r"\bpip3?(?:\.\d+)?\s+install\b.*\btorch\b|\buv\s+(?:pip install|add)\b.*\btorch\b")
_ANY_INSTALL = regex(
    r"\b(?:pip3?(?:\.\d+)? install|uv (?:pip install|add|sync)|(?:poetry|pdm|pipenv) (?:install|add))\b"
)
_REQUIREMENTS = regex(r"\bpip3?\s+install\s+(?:-r|--requirement)\s*\S+\s*$")
_PROJECT_INSTALL = regex(r"\buv sync\b|\buv run\b|\b(?:poetry|pdm|pipenv|pixi|hatch) (?:install|sync|run)\b")
"""Commands that install what a project's files ask for."""
_CONDA_PLACE = regex(
    r"/(?:ana|mini)conda\d?/|/(?:mini|mamba)forge\d?/|/micromamba/|/(?:envs|[\w.-]*conda[\w.-]*)/[^/]+/lib/python"
)
_CONDA_INSTALL = regex(r"\b(?:conda|mamba|micromamba)\s+(?:install|create)\b.*\s\"?pytorch(?![\w-])")
_CONDA_FILE = regex(r"\b(?:conda|mamba|micromamba)\s+(?:env\s+)?(?:create|update)\b.*\s(?:-f|--file)[\s=]\S+\.ya?ml\b")
CONDA_PINS_CUDA = regex(r"pytorch-cuda|pytorch-gpu|cuda-version|\*?cuda\*?_|=\*?cuda|gpu_")


class CpuBuild(Plain, frozen=True):
    """Why torch has no CUDA here, how sure that is, and what shows it."""

    cause: str
    confidence: Confidence
    evidence: tuple[Evidence, ...]


@lru_cache(maxsize=1)
def cpu_build(case: Case) -> CpuBuild | None:
    """Why this torch has no CUDA, by the first rule that answers; None: it has, or nothing says that it has not."""
    if has_cuda(case) or case.facts.torch.hip or case.facts.torch.xpu or case.build_kind in ("rocm", "xpu"):
        return None
    for cause, rule in _RULES:
        found = rule(case)
        if found is not None:
            return CpuBuild(cause, *found) if cause else None
    return None


def groups_of(case: Case, signature: str) -> dict[str, str] | None:
    """The named groups of the first message that matches `signature`."""
    return next((groups for _, groups in case.said(signature)), None)


_Found = tuple[Confidence, tuple[Evidence, ...]]


def _shown(case: Case) -> tuple[Evidence, ...]:
    """What shows that the build has no CUDA."""
    torch = case.facts.torch
    seen = heard(case.said("not_compiled_with_cuda"), 1)
    if torch.version:
        seen = (saw("torch.version", torch.version, torch.look), *seen)
    if torch.cuda_known and not torch.cuda:
        seen = (*seen, saw("torch.cuda", "None", torch.look))
    return seen


def _macos(case: Case) -> _Found | None:
    """On macOS no build has CUDA."""
    return ("certain", ()) if case.on_macos else None


def _jetson(case: Case) -> _Found | None:
    if not is_jetson(case):
        return None
    if has_cuda(case) is False:
        return "certain", _shown(case)
    if case.cuda_available is False:
        return "likely", (saw("torch.cuda_available", "False", case.facts.torch.look),)
    if case.said("runs_on_cpu") and case.pasted:
        return "likely", heard(case.said("runs_on_cpu"), 1)
    fetched = case.said("aarch64_wheel") if case.pasted and not case.cuda_available else ()
    listed = package(case, "torch")
    plain = listed is not None and not listed.build and re.fullmatch(r"[\d.]+", listed.version or "")
    if case.pasted and listed is not None and plain and not case.cuda_available:  # NVIDIA's own say nv or a commit
        return "possible", (saw("packages[torch]", listed.version or "", "interpreter"),)
    return ("possible", heard(fetched, 1)) if fetched else None


def _conda(case: Case) -> _Found | None:
    listed = conda_cpu_packages(case)
    if listed:
        return "certain", listed
    wheel = package(case, "torch")
    if wheel and "+" in (wheel.version or ""):
        return None
    if case.said("conda_cpu_build"):
        return "certain", heard(case.said("conda_cpu_build"), 1)
    if has_cuda(case) is False:
        if case.facts.torch.installer == "conda" or (wheel and wheel.installer == "conda"):
            return "certain", _shown(case)
        toolkit = next((one for one in conda_packages(case) if one.name in ("cudatoolkit", "cudnn")), None)
        if toolkit:
            return "likely", (
                *_shown(case),
                saw("packages[cudatoolkit]", f"{toolkit.name} {toolkit.version}", "interpreter"),
            )
    return _conda_command(case) or _conda_channels(case) or _conda_path(case) or _conda_plain(case)


def _conda_channels(case: Case) -> _Found | None:
    """An environment file whose channel has CPU builds that nothing in it rules out."""
    missed = case.cuda_available is False and nvidia_seen(case)
    said = case.said("conda_forge_first") or (case.said("conda_forge_alone") if missed else ())
    return ("possible", heard(said, 1)) if said and not case.cuda_available and case.pasted else None


def _conda_plain(case: Case) -> _Found | None:
    """A release without a tag and without CUDA on Linux: the wheel of that name has CUDA, so that it is conda's."""
    host, version = case.facts.host, case.torch_version or ""
    if not case.pasted or host.os != "linux" or host.machine != "x86_64" or has_cuda(case) is not False:
        return None
    if not re.fullmatch(r"\d{1,2}\.\d{1,2}\.\d{1,2}", version) or asked(case, CPU_INDEX):
        return None
    rows = [one for one in case.catalogue.builds() if one.torch == version and one.on_default_index]
    made = any(one.cuda for one in rows if (one.os, one.machine) == ("linux", "x86_64"))
    return ("possible", _shown(case)) if made else None


def _conda_path(case: Case) -> _Found | None:
    """Torch without CUDA in an environment of conda on Linux: what pip installs there by itself has CUDA."""
    torch = case.facts.torch
    foreign = case.facts.host.os not in ("linux", None) or case.facts.host.machine == "aarch64"
    if foreign or has_cuda(case) is not False or "+" in (torch.version or "") or asked(case, CPU_INDEX):
        return None
    if not _CONDA_PLACE.search(torch.file or ""):
        return None
    return "possible", (*_shown(case), saw("torch.file", torch.file or "", torch.look))


def _conda_command(case: Case) -> _Found | None:
    """Conda was asked for `pytorch` with nothing that makes a CPU build impossible, and CUDA is not there."""
    if case.cuda_available or (has_cuda(case) is None and case.torch_imported is False) or case.said("hint_download"):
        return None
    for said in case.facts.messages:
        command = said.text
        if said.kind != "command":
            continue
        if has_cuda(case) is False and not case.torch_version and _CONDA_FILE.search(command):
            return "possible", (saw("messages", command, said.look, said.where),)
        if _CONDA_INSTALL.search(command) and (has_cuda(case) is False or not CONDA_PINS_CUDA.search(command)):
            wanted = "cudatoolkit" in command or case.cuda_available is False or has_cuda(case) is False
            if wanted:
                return ("likely" if has_cuda(case) is False else "possible"), (
                    saw("messages", command, said.look, said.where),
                )
    return None


def _machine_of(case: Case) -> str | None:
    """The machine's architecture, which some GPUs give away."""
    arm = any(case.catalogue.beside_arm(gpu.name, gpu.compute_capability) for gpu in case.gpus or ())
    return case.facts.host.machine or ("aarch64" if arm else None)


def _aarch64(case: Case) -> _Found | None:
    machine = _machine_of(case)
    if asked(case, CPU_INDEX):
        return None
    told = case.said("aarch64_wheel")
    plain = asked(case, _PLAIN_INSTALL) if case.pasted and case.cuda_available is False else None
    plain = plain or _default_of_arm(case)
    missed = case.cuda_available is False or bool(case.listed and case.said("no_platform"))
    missed = missed or (case.cuda_available is None and nvidia_seen(case) is not None and bool(_default_of_arm(case)))
    if has_cuda(case) is None and machine == "aarch64" and missed and (told or plain):
        shown = heard(told, 1) or (saw("messages", plain or "", "text"),)
        return "likely", (*shown, saw("host.machine", machine, "files"))
    if has_cuda(case) is not False:
        return _small_wheel(case, told)
    if machine == "aarch64" and case.facts.host.os in ("linux", None):
        return "certain", (*_shown(case), saw("host.machine", machine, "files"))
    if case.said("aarch64_wheel"):
        return "likely", (*_shown(case), *heard(case.said("aarch64_wheel"), 1))
    return None


def _default_of_arm(case: Case) -> str | None:
    """The release that pip lists, when the default index has nothing but a CPU build of it for Arm."""
    listed, version = package(case, "torch"), case.torch_version
    if (listed and listed.build) or case.facts.host.jetson or not case.pasted:
        return None
    rows = [one for one in case.catalogue.builds() if one.torch == version and one.machine == "aarch64"]
    return version if {one.variant for one in rows if one.on_default_index} == {"cpu"} else None


def _small_wheel(case: Case, told: Said) -> _Found | None:
    """Pip fetched a wheel for Arm that is too small to hold CUDA, and nothing else was said."""
    if not told or has_cuda(case) or not case.pasted or case.cuda_available is not None:
        return None
    size = told[0][1].get("size")
    return ("possible", heard(told, 1)) if size and float(size) < float(limit("small_wheel_mb")) else None


def _windows(case: Case) -> _Found | None:
    """The default index, its mirrors and lock files made from them hold CPU builds for Windows."""
    if asked(case, CPU_INDEX):
        return None
    wheel = groups_of(case, "default_windows_wheel")
    if wheel is not None and float(wheel.get("size", "0")) < float(limit("small_wheel_mb")):
        return "certain", (*heard(case.said("default_windows_wheel"), 1), *_shown(case))
    windows = case.facts.host.os == "windows"
    replaced = case.said("cuda_build_replaced") or case.said("cuda_build_uninstalled")
    replaced = replaced if case.pasted and case.facts.host.os in ("windows", None) else ()
    if replaced and not case.cuda_available and (case.said("cuda_build_replaced") or has_cuda(case) is False):
        return ("likely" if windows else "possible"), heard(replaced, 1)
    if windows:
        found = _on_windows(case)
    else:
        found = _windows_by_trace(case) if case.facts.host.os is None and has_cuda(case) is False else None
    return found or _plain_command(case, windows=windows)


def _on_windows(case: Case) -> _Found | None:
    """Windows is told: a build without CUDA, or a release without any tag whose CUDA is missed."""
    listed = package(case, "torch")
    built = has_cuda(case)
    tagged = listed is not None and "+" in (listed.version or "")
    if asked(case, CUDA_INDEX) or (tagged and built is False and not asked(case, _PROJECT_INSTALL)):
        return None
    if built is False and not (_calls_itself_cpu(case) and not (asked(case, _ANY_INSTALL) or _replaced(case))):
        return ("certain" if listed else "likely"), (*_shown(case), saw("host.os", "windows", "files"))
    if built is None and case.cuda_available is False and listed and not listed.build and not tagged:
        return "likely", (saw("packages[torch]", listed.version or "", "interpreter"), *_small_download(case))
    return None


def _calls_itself_cpu(case: Case) -> bool:
    """Torch itself says `+cpu`, and no list of packages tells how the installer calls it."""
    return case.pasted and (case.torch_version or "").endswith("+cpu") and package(case, "torch") is None


def _replaced(case: Case) -> bool:
    """Another package's wishes brought a build without CUDA in the place of one with it."""
    versions = case.facts.sightings.get("torch.version", ())
    return asked(case, _REQUIREMENTS) is not None and any("+cu" in one.value for one in versions)


def _small_download(case: Case) -> tuple[Evidence, ...]:
    """What uv says of a torch that is too small to hold CUDA."""
    said = case.said("small_torch_download")
    return heard(tuple(one for one in said if float(one[1]["size"]) < float(limit("small_wheel_mb"))), 1)


def _windows_by_trace(case: Case) -> _Found | None:
    """No system is told, but what was installed lacks CUDA, and the same thing has it on Linux.

    A lock file that names other systems, or a release that pip installed without any tag.
    """
    locked, listed = case.said("locked_by_platform"), package(case, "torch")
    if locked:
        return "likely", (*_shown(case), *heard(locked, 1))
    if listed is None or listed.installer != "pip" or listed.build or "+" in (listed.version or "+"):
        return None
    if not case.said("not_compiled_with_cuda"):
        return None
    return "likely", (*_shown(case), saw("packages[torch]", listed.version or "", "interpreter"))


def _plain_command(case: Case, *, windows: bool) -> _Found | None:
    """`pip install torch` without an index, and no CUDA afterwards: so it goes on Windows.

    A file of requirements counts where torch itself says that it has no CUDA.
    """
    without = has_cuda(case) is False and not case.torch_version
    if case.facts.host.os not in ("windows", None) or case.driver_version:
        return None
    if case.cuda_available is not False and not without:
        return None
    if windows and case.pasted and not case.torch_version and not asked(case, CUDA_INDEX):
        return "possible", (
            saw("torch.cuda_available", "False", case.facts.torch.look),
            saw("host.os", "windows", "files"),
        )
    for said in case.facts.messages:
        plain = _PLAIN_INSTALL.search(said.text) and not _NO_PLAIN_INSTALL.search(said.text)
        if said.kind == "command" and (plain or (without and _REQUIREMENTS.search(said.text))):
            return ("likely" if windows else "possible"), (saw("messages", said.text, said.look, said.where),)
    return None


def _cache(case: Case) -> _Found | None:
    """Pip took a wheel without CUDA out of its cache although CUDA was asked for."""
    cached = groups_of(case, "cached_wheel")
    wanted = asked(case, CUDA_INDEX)
    if cached is None or not (wanted or has_cuda(case) is False):
        return None
    cpu = "cpu" in cached.get("version", "")
    if not cpu and not wanted:
        return None
    shown = (*heard(case.said("cached_wheel"), 1), *_shown(case))
    return ("likely" if has_cuda(case) is False or cpu else "possible"), shown


def _pip(case: Case) -> _Found | None:
    line = asked(case, CPU_INDEX) if case.pasted and case.cuda_available is False else None
    plain = "+" not in (case.torch_version or "")
    if line and has_cuda(case) is None and plain and not asked(case, CUDA_INDEX):
        return "likely", (saw("messages", line, "text"),)
    if has_cuda(case) is not False:
        return None
    # A bare complaint tells that the build has no CUDA, not how it came: conda, a cache, Windows, Arm and macOS all do.
    bare = case.pasted and case.torch_version is None and not case.packages
    # On Windows the wheel of the default index calls itself +cpu, too.
    either = _calls_itself_cpu(case) and case.facts.host.os in ("windows", None) and not asked(case, CPU_INDEX)
    return ("possible" if bare or either else "certain"), (*_shown(case), *heard(case.said("already_satisfied"), 1))


_RULES: tuple[tuple[str, Callable[[Case], _Found | None]], ...] = (
    ("", _macos),
    ("jetson_generic_wheel", _jetson),
    ("cpu_build_conda", _conda),
    ("cpu_wheel_aarch64", _aarch64),
    ("cpu_wheel_pip_cache", _cache),
    ("cpu_wheel_windows_pypi", _windows),
    ("cpu_wheel_pip", _pip),
)
