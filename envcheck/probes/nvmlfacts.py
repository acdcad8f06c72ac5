"""What the NVML worker's events say: GPUs, versions, libraries, return codes. Pure.

A value that is no such thing (a version of letters, a CUDA version of 7) is left out and told in the observation:
a library that lies must not become a fact.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from envcheck.model.base import Plain
from envcheck.model.facts import ApiStatus, Gpu, Library, Observation, Sighting, State
from envcheck.model.patterns import regex
from envcheck.model.versions import cuda_of_int
from envcheck.probes.returncodes import (
    FUNCTION_NOT_FOUND,
    NOT_FOUND,
    NOT_SUPPORTED,
    NVML_CODES,
    TROUBLE,
    VERSION_MISMATCH,
    cuda_name,
    nvml_name,
)
from envcheck.probes.worker import WorkerResult

_INIT = "nvmlInit_v2"
_ESSENTIAL = ("nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetName", "nvmlDeviceGetCudaComputeCapability")
_COMPUTE_MODES = ("default", "exclusive_thread", "prohibited", "exclusive_process")
_FABRIC_STATES = ("not_supported", "not_started", "in_progress", "completed")
_IN_VGPU = 2
_DRIVER = regex(r"\d{2,4}(?:\.\d{1,4}){1,3}")
_PCI = regex(r"([0-9a-f]{4,8}):([0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])")
_MISSING = regex(r"No such file or directory|Could not find module|image not found|not found", re.IGNORECASE)
_THERE = "but the file is there: made for another processor?"
MAX_GPUS = 64
"""As many as the worker asks."""
MAX_NAME = 256


class Answers(Plain, frozen=True):
    """What NVML and libcuda said, as facts."""

    gpus: tuple[Gpu, ...] | None
    driver_versions: tuple[Sighting, ...]
    library_versions: tuple[Sighting, ...]
    cuda_versions: tuple[Sighting, ...]
    libraries: tuple[Library, ...]
    statuses: tuple[ApiStatus, ...]
    nvml: Observation
    libcuda: Observation


class Names(Plain, frozen=True):
    """The libraries that the worker was asked to load, best first; `root` is cut from what it says about paths."""

    nvml: Sequence[str]
    cuda: Sequence[str]
    root: str = ""


def answers(result: WorkerResult, names: Names) -> Answers:
    """Facts from the worker's `result`."""
    return _Reading(result, names).answers()


def driver_version(text: str | None) -> str | None:
    """A driver version, `535.183.01`, when `text` is one."""
    return text if text and _DRIVER.fullmatch(text) else None


def version_in_path(path: str | None) -> str | None:
    """`535.183.01` of `libnvidia-ml.so.535.183.01`."""
    match = re.search(r"\.so\.(\d{2,4}(?:\.\d{1,4}){1,3})$", path or "")
    return match[1] if match else None


def pci_address(text: str | None) -> str | None:
    """`00000000:01:00.0`, lower case with a domain of eight digits, when `text` is an address."""
    match = _PCI.fullmatch((text or "").strip().lower())
    return f"{match[1]:0>8}:{match[2]}" if match else None


class _Reading:
    """One worker's values, and what was odd about them."""

    def __init__(self, result: WorkerResult, names: Names) -> None:
        self.result, self.names, self.values = result, names, result.values
        self.odd: list[str] = []

    def answers(self) -> Answers:
        libraries = (*self.libraries(self.names.nvml, "nvml"), *self.libraries(self.names.cuda, "libcuda"))
        gpus = self.gpus()
        driver = self.versions("nvmlSystemGetDriverVersion", driver_version)
        library = (*self.versions("nvmlSystemGetNVMLVersion", _library_version), *_from_paths(libraries))
        calls = ("nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion")
        cuda = next((seen for call in calls if (seen := self.cuda_version(call, "nvml"))), ())
        cuda += self.cuda_version("cuDriverGetVersion", "libcuda")
        statuses = tuple(self.statuses())
        return Answers(
            gpus, driver, library, cuda, libraries, statuses, self.nvml(libraries, statuses), self.libcuda(libraries)
        )

    # Values --------------------------------------------------------------------------------------------------

    def code(self, step: str) -> int | None:
        """The return code of a call; None when it was not made or did not return."""
        value = self.values.get(step)
        return value[0] if isinstance(value, list) and value and isinstance(value[0], int) else None

    def given(self, step: str) -> Any:
        """What a call gave; None when it failed."""
        value = self.values.get(step)
        return value[1] if self.code(step) == 0 and isinstance(value, list) and len(value) > 1 else None

    def text(self, step: str) -> str | None:
        """The text that a call gave."""
        value = self.given(step)
        return value[:MAX_NAME] if isinstance(value, str) and value else None

    def pair(self, step: str) -> tuple[int, ...]:
        value = self.given(step)
        return tuple(value) if isinstance(value, list) and all(isinstance(one, int) for one in value) else ()

    def enum(self, step: str, words: Sequence[str]) -> str | None:
        number = (*self.pair(step), -1)[0]
        return words[number] if 0 <= number < len(words) else None

    def shown(self, path: str | None) -> str | None:
        """A path or a loader's words as on the machine."""
        return path.replace(self.names.root, "") if path and self.names.root else path

    def versions(self, call: str, parse: Callable[[str | None], str | None]) -> tuple[Sighting, ...]:
        """The version that a call gave; of several libraries' the last, which is the one that started."""
        given = [text for step in self.values if step.split("[")[0] == call and (text := self.text(step))]
        text = given[-1] if given else None
        version = parse(text)
        if text is not None and version is None:
            self.odd.append(f"{call} gave {text[:40]!r}")
        return (Sighting(value=version, look="nvml", where=call),) if version else ()

    def cuda_version(self, call: str, look: str) -> tuple[Sighting, ...]:
        numbers = self.pair(call)
        if not numbers:
            return ()
        if not 1000 <= numbers[0] <= 99990:
            self.odd.append(f"{call} gave {numbers[0]}")
            return ()
        return (Sighting(value=cuda_of_int(numbers[0]), look=look, where=call),)

    # GPUs ----------------------------------------------------------------------------------------------------

    def gpus(self) -> tuple[Gpu, ...] | None:
        """One for each that was counted; None when they could not be counted."""
        counted = self.pair("nvmlDeviceGetCount_v2")
        if not counted:
            return None
        if counted[0] > MAX_GPUS:
            self.odd.append(f"counted {counted[0]} GPUs, asked {MAX_GPUS}")
        return tuple(self.gpu(index) for index in range(min(counted[0], MAX_GPUS)))

    def gpu(self, index: int) -> Gpu:
        at = f"({index})"
        memory = self.pair("nvmlDeviceGetMemoryInfo_v2" + at) or self.pair("nvmlDeviceGetMemoryInfo" + at)
        codes = [self.code(call + at) for call in ("nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetMemoryInfo")]
        capability = self.pair("nvmlDeviceGetCudaComputeCapability" + at)
        mig = self.mig_enabled(at)
        virtual = self.pair("nvmlDeviceGetVirtualizationMode" + at)
        error = self.error(at)
        return Gpu(
            index=index,
            name=self.text("nvmlDeviceGetName" + at),
            uuid=self.text("nvmlDeviceGetUUID" + at),
            pci_address=self.pci_address(at),
            compute_capability=self.capability(capability, at),
            memory_bytes=memory[0] if memory and memory[0] else None,
            memory_free_bytes=memory[1] if memory and memory[0] else None,
            unified_memory=True if NOT_SUPPORTED in codes else None,
            mig_enabled=mig,
            mig_devices=tuple(self.mig_devices(at)) if mig else None,
            compute_mode=self.enum("nvmlDeviceGetComputeMode" + at, _COMPUTE_MODES),
            fabric_state=self.fabric(at),
            virtual=virtual[0] == _IN_VGPU if virtual else None,
            error=error[0],
            error_call=error[1],
        )

    def capability(self, numbers: tuple[int, ...], at: str) -> str | None:
        if len(numbers) != 2:
            return None
        if 1 <= numbers[0] <= 99 and 0 <= numbers[1] <= 99:
            return f"{numbers[0]}.{numbers[1]}"
        self.odd.append(f"nvmlDeviceGetCudaComputeCapability{at} gave {numbers[0]}.{numbers[1]}")
        return None

    def pci_address(self, at: str) -> str | None:
        """What the driver wrote; where that is no address, what it gave as numbers."""
        given = self.given("nvmlDeviceGetPciInfo_v3" + at) or self.given("nvmlDeviceGetPciInfo_v2" + at)
        texts = given if isinstance(given, list) else []
        return next((found for text in texts if isinstance(text, str) and (found := pci_address(text))), None)

    def mig_enabled(self, at: str) -> bool | None:
        step = "nvmlDeviceGetMigMode" + at
        if self.code(step) == NOT_SUPPORTED:
            return False
        modes = self.pair(step)
        return modes[0] == 1 if modes else None

    def mig_devices(self, at: str) -> Iterator[str]:
        for step in self.values:
            if step.startswith(f"nvmlDeviceGetUUID{at}/") and (uuid := self.text(step)):
                yield uuid

    def fabric(self, at: str) -> str | None:
        steps = ["nvmlDeviceGetGpuFabricInfoV" + at, "nvmlDeviceGetGpuFabricInfo" + at]
        if any(self.code(step) == NOT_SUPPORTED for step in steps):
            return "not_supported"
        return next((state for step in steps if (state := self.enum(step, _FABRIC_STATES))), None)

    def error(self, at: str) -> tuple[str | None, str | None]:
        """The first sign of trouble of one GPU: NVML's name and the call."""
        for step in self.values:
            call, code = step.removesuffix(at), self.code(step)
            if step == call or not code or "/" in step:
                continue
            if code in TROUBLE or (call in _ESSENTIAL and code not in (NOT_SUPPORTED, FUNCTION_NOT_FOUND)):
                return nvml_name(code), call
        stage = self.result.stage or ""
        if stage.endswith(at) or f"{at}/" in stage:
            return "NO_ANSWER" if self.result.state == "timeout" else "CRASHED", stage.split("(")[0]
        asked = f"nvmlDeviceGetHandleByIndex_v2{at}" in self.values
        return (None, None) if asked else ("NOT_ASKED", None)

    # Libraries, codes ----------------------------------------------------------------------------------------

    def libraries(self, names: Sequence[str], look: str) -> tuple[Library, ...]:
        """Those that the loader found or stumbled over; when there are none, its first refusal."""
        tried = [
            Library(
                name=re.split(r"[/\\]", name)[-1],
                path=self.shown(_string(value.get("path"))),
                version=version_in_path(_string(value.get("path"))),
                error=self.loaders_words(value) or self.refusal(name),
                look=look,
            )
            for name in names
            if isinstance(value := self.values.get(f"dlopen({name})"), dict)
        ]
        told = [one for one in tried if one.error is None or not _missing(one)]
        return tuple(told or tried[:1])

    def loaders_words(self, value: dict[str, Any]) -> str | None:
        """Its error; for a library made for another processor it says that there is no such file."""
        words = self.shown(_string(value.get("error")))
        return f"{words} ({_THERE})" if words and value.get("exists") and _MISSING.search(words) else words

    @property
    def started(self) -> bool:
        """Whether one of the NVML libraries started."""
        return any(self.code(step) == 0 for step in self.values if step.startswith(_INIT))

    def refusal(self, name: str) -> str | None:
        """Why a library that was loaded gave way to the next, which started (WSL's stub does)."""
        loads = {one: self.values.get(f"dlopen({one})") for one in self.names.nvml}
        first = next((one for one, value in loads.items() if isinstance(value, dict) and "path" in value), None)
        code = self.code(_INIT if name == first else f"{_INIT}[{name}]")
        return f"{_INIT}: {code} {nvml_name(code)}" if code and self.started else None

    def statuses(self) -> Iterator[ApiStatus]:
        """Every call that did not succeed, except what an older driver or a plain GPU says to a special question."""
        for step in self.values:
            code = self.code(step)
            if not code or self.expected(step, code):
                continue
            if step.startswith("cu"):
                yield ApiStatus(api="cuda", call=step, code=code, name=cuda_name(code), look="libcuda")
            else:
                words = NVML_CODES[code][1] if code in NVML_CODES else self.values.get(f"nvmlErrorString({code})")
                text = words[:500] if isinstance(words, str) else None
                yield ApiStatus(api="nvml", call=step, code=code, name=nvml_name(code), text=text)

    def expected(self, step: str, code: int) -> bool:
        call, at, name = step.partition("[")
        if self.started and call in (_INIT, "nvmlSystemGetNVMLVersion") and self.code(_INIT + at + name) != 0:
            return True  # of a library that gave way
        if "(" in step and not step.startswith(_ESSENTIAL):
            return code in (NOT_SUPPORTED, FUNCTION_NOT_FOUND, VERSION_MISMATCH) or (code == NOT_FOUND and "/" in step)
        return call.startswith("nvmlSystemGetCudaDriverVersion") and code == FUNCTION_NOT_FOUND

    # How it ended --------------------------------------------------------------------------------------------

    @property
    def died_in_cuda(self) -> bool:
        steps = {"cuDriverGetVersion", *(f"dlopen({name})" for name in self.names.cuda)}
        return self.result.state != "ok" and self.result.stage in steps

    def nvml(self, libraries: Sequence[Library], statuses: Sequence[ApiStatus]) -> Observation:
        if self.result.state != "ok" and not self.died_in_cuda:
            return self.death("nvml")
        state, detail = _loaded([one for one in libraries if one.look == "nvml"])
        failed = next((one for one in statuses if one.api == "nvml"), None)
        if state == "ok" and failed and not self.pair("nvmlDeviceGetCount_v2"):
            state, detail = "failed", f"{failed.call}: {failed.code} {failed.name}"
        told = "; ".join(filter(None, (detail, *self.odd))) or None
        return Observation(look="nvml", state=state, ms=self.result.ms, detail=told)

    def libcuda(self, libraries: Sequence[Library]) -> Observation:
        if self.died_in_cuda:
            return self.death("libcuda")
        state, detail = _loaded([one for one in libraries if one.look == "libcuda"])
        if self.result.state != "ok":
            state, detail = "skipped", "the look at NVML died before it"
        elif code := self.code("cuDriverGetVersion"):
            state, detail = "failed", f"cuDriverGetVersion: {code} {cuda_name(code)}"
        return Observation(look="libcuda", state=state, detail=detail)

    def death(self, look: str) -> Observation:
        result = self.result
        state: State = "failed" if result.state == "absent" else result.state
        return Observation(
            look=look,
            state=state,
            ms=result.ms,
            stage=self.shown(result.stage),
            signal=result.signal,
            returncode=result.returncode,
            detail=result.detail,
        )


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _library_version(text: str | None) -> str | None:
    """`535.183.01` of NVML's own `12.535.183.01`; older ones say the driver's version alone."""
    head, _, rest = (text or "").partition(".")
    if head.isdigit() and len(head) < 3 and (version := driver_version(rest)):
        return version
    return driver_version(text)


def _from_paths(libraries: Sequence[Library]) -> tuple[Sighting, ...]:
    return tuple(
        Sighting(value=one.version, look=one.look, where=one.path) for one in libraries if one.version is not None
    )


def _missing(library: Library) -> bool:
    """Whether the loader's words mean that this library itself is not there (and not one that it needs)."""
    words = library.error or ""
    return (
        bool(_MISSING.search(words))
        and _THERE not in words
        and (library.name in words.split(":")[0] or library.name in words[:300])
    )


def _loaded(libraries: Sequence[Library]) -> tuple[State, str | None]:
    if any(one.path is not None or one.error is None for one in libraries):
        return "ok", None
    if not libraries:
        return "failed", "not tried"
    state: State = "absent" if all(_missing(one) for one in libraries) else "failed"
    return state, libraries[0].error
