"""EC2xx: how the driver answers: slowly, with errors, through programs that do not work."""

from collections.abc import Iterator

from envcheck.diagnosis import exhibits, remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.common import DRIVER_LOOKS, wish
from envcheck.diagnosis.exhibits import fact
from envcheck.model.facts import ApiStatus, Gpu, Library
from envcheck.model.report import Evidence, Finding
from envcheck.model.text import say

_SLOW_MS = 3000
_NVML_NAMED = (0, 4, 8, 9, 11, 13, 14, 15, 16, 17, 18)
"""NVML returns that other checks name."""
_NOT_LOADED, _NO_FUNCTION = 9, 13
_GPU_NAMED = (
    *("GPU_IS_LOST", "RESET_REQUIRED", "CORRUPTED_INFOROM", "INSUFFICIENT_POWER", "IRQ_ISSUE", "ECC_ERROR"),
    *("NO_PERMISSION", "OPERATING_SYSTEM", "NO_ANSWER", "CRASHED", "NOT_ASKED"),
)
"""States of a GPU that other checks name, and those in which envcheck's own question broke off."""
_CUDA_NAMED = (0, 2, 3, 34, 35, 46, 100, 101, 209, 214, 222, 300, 802, 803, 804, 999)


@check("EC219", "driver-lacks-function", severity="info", cause="driver_function_missing", needs=("driver_answered",))
def driver_lacks_function(this: Check, case: Case) -> Iterator[Finding]:
    """The driver's library lacks a function that was asked for.

    What it means: the library answered NVML error 13: the driver is older than the function. What it would have
    told stays unknown; PyTorch may work all the same.

    Common causes: an old driver, or a stand-in library that has only a part of the functions.

    What to do: update the driver if something else here asks for it.
    """
    status = case.nvml_status(13)
    if status is None:
        return
    yield this.finding(
        say("The driver's library has no function {call}: the driver is old", call=status.call),
        evidence=(exhibits.status(status),),
    )


@check("EC231", "nvidia-smi-broken", severity="info", needs=("smi_look",))
def nvidia_smi_broken(this: Check, case: Case) -> Iterator[Finding]:
    """The program nvidia-smi does not work.

    What it means: nvidia-smi was found, but it failed, hung or said nothing that can be read. PyTorch does not use
    it; when the driver's library answers, this does not matter.

    Common causes: a driver without its programs, a wrapper script of the same name, a very slow driver.

    What to do: nothing, if torch works. Else see the other findings.
    """
    seen = case.smi_look
    if seen is None or seen.state not in ("failed", "timeout", "crashed"):
        return
    path = (fact("nvidia.smi_path", case.facts.nvidia.smi_path, "smi"),) if case.facts.nvidia.smi_path else ()
    yield this.finding(
        say("nvidia-smi does not work ({state})", state=seen.state), evidence=(exhibits.look(seen), *path)
    )


@check("EC242", "driver-slow", severity="info", cause="driver_slow", needs=("looked_at_driver",))
def driver_slow(this: Check, case: Case) -> Iterator[Finding]:
    """The driver takes seconds to wake up.

    What it means: the first call into the driver took several seconds. Every program that starts on the GPU waits
    as long.

    Common causes: no program keeps the driver awake, so that each start initialises all GPUs (persistence mode
    off).

    What to do: switch persistence mode on.
    """
    slow = next(
        (
            one
            for one in map(case.facts.observation, DRIVER_LOOKS)
            if one and one.state == "ok" and (one.ms or 0) > _SLOW_MS
        ),
        None,
    )
    if slow is None:
        return
    persist = remedies.command(case, say("Keep the driver awake"), "sudo", "nvidia-smi", "-pm", "1")
    yield this.finding(
        say("The NVIDIA driver took {seconds} s to answer", seconds=f"{(slow.ms or 0) / 1000:.1f}"),
        evidence=(exhibits.look(slow),),
        fixes=(persist,) if case.facts.host.os == "linux" and not case.facts.host.wsl else (),
    )


@check(
    "EC243",
    "driver-answers-unknown-error",
    cause="driver_unknown_error",
    needs=("driver_answered",),
    explains=("EC401",),
)
def driver_answers_unknown_error(this: Check, case: Case) -> Iterator[Finding]:
    """The driver answers with an error that no check here knows.

    What it means: a call into the driver failed, or one of its GPUs answers with an error, and none of the known
    causes fits.

    Common causes: a rare state of driver or hardware.

    What to do: look the number up, read the kernel log, and show a snapshot to whoever helps you.
    """
    odd = [gpu for gpu in case.listed or () if gpu.error and gpu.error not in _GPU_NAMED]
    if odd:
        yield _odd_gpus(this, case, odd)
        return
    if case.listed or case.cuda_available:
        return
    status = next((one for one in case.facts.nvidia.statuses if _is_unknown(case, one)), None)
    if status is None:
        return
    yield this.finding(
        say(
            "The driver's call {call} failed with {code} ({name})",
            call=status.call,
            code=status.code,
            name=status.name or "?",
        ),
        evidence=(exhibits.status(status), *_libraries(case)),
        fixes=(remedies.kernel_log(case), remedies.reboot(case), *remedies.report_it(case)),
        severity=wish(case),
        confidence="possible",
    )


def _odd_gpus(this: Check, case: Case, odd: list[Gpu]) -> Finding:
    """GPUs that the driver lists and that answer with an error without a page of its own."""
    others = len(odd) < len(case.listed or ())
    return this.finding(
        say("GPU {index} answers the driver with an error: {error}", index=odd[0].index, error=odd[0].error),
        evidence=tuple(
            fact(f"nvidia.gpus[{gpu.index}].error", f"{gpu.error} {gpu.error_call or ''}".strip(), gpu.look)
            for gpu in odd[:4]
        ),
        fixes=(remedies.kernel_log(case), remedies.reboot(case), *remedies.report_it(case)),
        severity="warning" if others or case.cuda_available else wish(case),
        confidence="possible",
    )


def _is_unknown(case: Case, status: ApiStatus) -> bool:
    if status.api == "cuda":
        return status.code not in _CUDA_NAMED
    if not any(word in status.call for word in ("Init", "DeviceGetCount", "DeviceGetHandle")):
        return False
    contradicted = status.code == _NOT_LOADED and case.nvidia_module_loaded and not case.in_container
    lacks_all = status.code == _NO_FUNCTION and "Init" in status.call
    return bool(contradicted or lacks_all) or status.code not in _NVML_NAMED


def _libraries(case: Case) -> tuple[Evidence, ...]:
    found: tuple[Library, ...] = case.facts.nvidia.libraries
    return tuple(exhibits.library(one) for one in found[:2])


CHECKS = (
    driver_lacks_function,
    nvidia_smi_broken,
    driver_slow,
    driver_answers_unknown_error,
)
