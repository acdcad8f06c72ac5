"""What is most often the cause where only a symptom was pasted, and no check named one: possible, no more. Pure."""

from collections.abc import Callable, Sequence

from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check
from envcheck.diagnosis.cpu_build import CONDA_PINS_CUDA, CPU_INDEX
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.torch_build import CUDA_INDEX, asked, is_jetson
from envcheck.model.base import Plain
from envcheck.model.patterns import regex
from envcheck.model.report import Evidence, Finding
from envcheck.model.text import Text, say
from envcheck.model.versions import numbers

_NO = r"(?:\b[Nn]o\b|\bnot\b|(?<!\.)[Ee]rror|[Ff]ail|[Cc]annot|[Uu]nable|[Uu]navailable)"
_OF = r"(?:CUDA|GPU|HIP|cuda|nvidia|NVIDIA)"
_OF_GPUS = regex(rf"{_OF}[^\n]{{0,60}}{_NO}|{_NO}[^\n]{{0,60}}{_OF}(?! device = cuda)")
_CONDA = regex(
    r"[\\/](?:ana|mini)?conda\d?[\\/]|[\\/](?:mini|mamba)forge\d?[\\/]|\bconda (?:activate|env|install|create)\b"
)
_PIP_INSTALL = regex(r"\bpip3? install\b[^\n]{0,200}\btorch\b")
_ROCM_WORD = regex(r"(?i)[\s#=_./-]rocm\b")
_BEHIND = 2
"""Generations of CUDA by which a driver is old for whatever a plain install brings."""


class _Guess(Plain, frozen=True):
    """Which code it is, whether it fits the case (and by what), and what it says."""

    code: str
    fits: Callable[[Case], tuple[Evidence, ...]]
    title: Text


def guess(case: Case, checks: Sequence[Check]) -> Finding | None:
    """The finding of the first that fits, where a GPU was missed or an error was pasted."""
    if not case.pasted or case.cuda_available:
        return None
    by_code = {one.code: one for one in checks}
    for one in _GUESSES:
        check = by_code.get(one.code)
        shown = one.fits(case) if check else ()
        if check and shown:
            return check.finding(one.title, evidence=shown, severity="error", confidence="possible")
    return None


def _missed(case: Case) -> bool:
    """Whether a GPU was missed here: torch says so, or an error speaks of GPUs."""
    errors = (one.text for one in case.facts.messages if one.kind == "error" and "ompiled with" not in one.text)
    return case.cuda_available is False or any(_OF_GPUS.search(text) for text in errors)


def _when(name: str, fact_of: Callable[[Case], object]) -> Callable[[Case], tuple[Evidence, ...]]:
    """Fits where the fact is there and a GPU was missed."""

    def fits(case: Case) -> tuple[Evidence, ...]:
        value = fact_of(case)
        return (fact(name, str(value), "text"),) if value and _missed(case) else ()

    return fits


def _bare(case: Case) -> tuple[Evidence, ...]:
    """CUDA is not available, and nothing tells which build it is, nor that there is no NVIDIA GPU."""
    if case.build_cuda or case.on_macos or case.has_nvidia is False or case.facts.amd.gpus:
        return ()
    if asked(case, CUDA_INDEX) or asked(case, CONDA_PINS_CUDA):
        return ()
    answer = (fact("torch.cuda_available", "False", "text"),) if case.cuda_available is False else ()
    return answer or heard(case.said("hint_no_cuda"), 1)


def _on_arm(case: Case) -> tuple[Evidence, ...]:
    """A program that computes on the CPU of an Arm machine."""
    here = case.facts.host.machine == "aarch64" and not case.facts.host.jetson and not case.build_cuda
    return heard(case.said("hint_device_cpu"), 1) if here and not case.on_macos else ()


def _on_cpu(case: Case) -> tuple[Evidence, ...]:
    """A program that computes on the CPU, after wheels for the CPU were asked for."""
    line = asked(case, CPU_INDEX)
    said = heard(case.said("hint_device_cpu"), 1) if line else ()
    return (*said, fact("messages", line, "text")) if said and line else ()


def _job_on_cpu(case: Case) -> tuple[Evidence, ...]:
    """A program that computes on the CPU in a job whose script asks for no GPU."""
    script, said = case.said("job_script_asks_no_gpu"), case.said("hint_device_cpu")
    return (*heard(script, 1), *heard(said, 1)) if script and said else ()


def _uninstalled(case: Case) -> tuple[Evidence, ...]:
    """The list of the system's packages has none of NVIDIA's driver, or what was left of them."""
    none = case.facts.nvidia.packages == () and case.cuda_available is False and not case.in_container
    return (fact("nvidia.packages", "-", "text"),) if none else ()


def _old_driver(case: Case) -> tuple[Evidence, ...]:
    """CUDA is not available below a driver of long ago, nothing tells the build, and a plain install has CUDA here."""
    version = case.driver_version
    if not version or case.cuda_available is not False or case.build_cuda or case.facts.host.os not in ("linux", None):
        return ()
    own = case.catalogue.cuda_of_driver(version, "linux")
    plain = [one.cuda for one in case.catalogue.builds() if one.os == "linux" and one.on_default_index and one.cuda]
    newest = max((numbers(cuda)[0] for cuda in plain), default=0)
    old = own is not None and numbers(own)[0] + _BEHIND <= newest
    return (fact("nvidia.driver_version", version, "text"),) if old else ()


def _bare_in_conda(case: Case) -> tuple[Evidence, ...]:
    """The same in an environment of conda; a release without a tag is conda's or has CUDA."""
    version = case.torch_version or ""
    if "+" in version or case.facts.host.os == "windows" or asked(case, _PIP_INSTALL):
        return ()
    shown = _bare(case)
    place = next((one for one in case.facts.messages if _CONDA.search(one.text)), None)
    return (*shown, fact("messages", place.text[:160], place.look, place.where)) if shown and place else ()


def _dead_proxy(case: Case) -> tuple[Evidence, ...]:
    """A download failed, and a proxy on this very machine is set."""
    return heard(case.said("hint_dead_proxy"), 1) if case.said("hint_download") else ()


def _tags_refused(case: Case) -> tuple[Evidence, ...]:
    """Pip skipped the wheel of this very Python for its platform."""
    version = (case.python_version or "").split(".")[:2]
    said = case.said("wheel_tags_refused")
    fits = tuple(one for one in said if not version[0] or one[1]["python"] == "cp" + "".join(version))
    return heard(fits, 1)


def _where(signature: str, *, missed: bool = False) -> Callable[[Case], tuple[Evidence, ...]]:
    """Fits where that was said; `missed`: and a GPU was missed."""

    def fits(case: Case) -> tuple[Evidence, ...]:
        return heard(case.said(signature), 1) if not missed or _missed(case) else ()

    return fits


def _rocm_wanted(case: Case) -> tuple[Evidence, ...]:
    """A command that speaks of ROCm before a CUDA build's start failed."""
    line = asked(case, _ROCM_WORD) if case.said("hint_cuda_init") else None
    return (fact("messages", line, "text"),) if line else ()


def _rocm(case: Case) -> object:
    return case.facts.torch.hip or case.facts.amd.rocm_version or (case.facts.amd.gpus and "AMD")


_GUESSES = (
    _Guess(
        "EC402",
        _where("hint_quoted_visible", missed=True),
        say("The quotes may belong to the value: no GPU has that name"),
    ),
    _Guess("EC222", _where("hint_stubs", missed=True), say("The toolkit's stubs may come before the driver's libcuda")),
    _Guess("EC214", _where("hint_lockdown", missed=True), say("Secure Boot may keep the NVIDIA module out")),
    _Guess("EC217", _where("hint_unplugged"), say("A GPU may have left the bus")),
    _Guess("EC305", _where("hint_companion"), say("torchvision or torchaudio may not have been built for this torch")),
    _Guess("EC349", _where("hint_symbol"), say("A compiled package may have been built for another release of torch")),
    _Guess("EC331", _where("hint_dll"), say("A library that one of torch's DLLs needs may be missing")),
    _Guess("EC235", _where("hint_hip"), say("This build may have no kernels for the AMD GPU")),
    _Guess("EC316", _where("hint_cudnn"), say("Another cuDNN than torch's own may have been loaded")),
    _Guess("EC216", _where("hint_nvrm"), say("The driver may have failed to start the GPU")),
    _Guess("EC307", _where("hint_folder"), say("A file or folder of the same name may hide the installed package")),
    _Guess("EC308", _where("hint_numpy"), say("This torch may have been built for another generation of NumPy")),
    _Guess("EC330", _where("hint_omp"), say("Two copies of OpenMP's library may be loaded together")),
    _Guess("EC331", _where("hint_absent_dll"), say("A library that one of torch's DLLs needs may be missing")),
    _Guess("EC105", _tags_refused, say("The C library may be older than what the wheels need")),
    _Guess("EC234", _where("hint_hsa"), say("ROCm may not be able to open the AMD GPU")),
    _Guess("EC320", _where("hint_nvrtc"), say("A library of NVIDIA's wheels may be missing")),
    _Guess("EC630", _dead_proxy, say("The proxy that is set may not run")),
    _Guess("EC638", _where("hint_full_disk"), say("The disk is full")),
    _Guess("EC634", _where("hint_download"), say("The download may have broken off")),
    _Guess("EC326", _rocm_wanted, say("A build without ROCm may have been installed for an AMD GPU")),
    _Guess("EC212", _where("hint_kernels"), say("The GPU may be newer than this build's libraries")),
    _Guess("EC216", _where("hint_smi"), say("The driver may have failed to start the GPU")),
    _Guess("EC102", _where("hint_wheel"), say("Most often where only this is said: Python is too new for the wheel")),
    _Guess("EC325", _when("host.jetson", is_jetson), say("This Jetson may have a generic PyTorch wheel")),
    _Guess("EC209", _when("host.wsl", lambda case: case.wsl), say("WSL may not see the driver of Windows")),
    _Guess("EC234", _when("amd", _rocm), say("ROCm may not be able to open the AMD GPU")),
    _Guess(
        "EC204",
        _when("host.container", lambda case: case.facts.host.container),
        say("The container may have been started without the host's GPU"),
    ),
    _Guess(
        "EC240",
        _when("host.scheduler", lambda case: case.scheduler),
        say("The job may have been given no GPU"),
    ),
    _Guess("EC240", _job_on_cpu, say("The job may have been given no GPU")),
    _Guess("EC324", _on_arm, say("The default index may have given a CPU build for Arm")),
    _Guess("EC301", _on_cpu, say("A CPU build was asked for, and the program computes on the CPU")),
    _Guess("EC202", _uninstalled, say("No package of NVIDIA's driver may be installed")),
    _Guess("EC206", _old_driver, say("The driver is older than what PyTorch's builds of today need")),
    _Guess(
        "EC323", _bare_in_conda, say("Most often where only this is said of a conda environment: a build without CUDA")
    ),
    _Guess("EC301", _bare, say("Most often where only this is said: PyTorch is a build without CUDA")),
)
