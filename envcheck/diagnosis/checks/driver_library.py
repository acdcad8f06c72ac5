"""EC2xx: how the driver's libraries behave: hung, crashed, foreign, stubs, of the wrong kind, unknown answers."""

from collections.abc import Iterator

from envcheck.diagnosis import exhibits, remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.common import DRIVER_LOOKS, NO_CUDA, wish
from envcheck.diagnosis.exhibits import heard
from envcheck.model.facts import Observation
from envcheck.model.report import Confidence, Evidence, Finding, Fix
from envcheck.model.text import say
from envcheck.model.versions import same_release


def _ended(case: Case, state: str) -> Observation | None:
    seen = (case.facts.observation(look) for look in DRIVER_LOOKS)
    return next((one for one in seen if one and one.state == state), None)


@check("EC210", "driver-hung", cause="driver_hung", needs=("looked_at_driver",), explains=(*NO_CUDA, "EC314"))
def driver_hung(this: Check, case: Case) -> Iterator[Finding]:
    """The driver does not answer.

    What it means: a call into the driver did not come back in time. Programs that use the GPU hang in the same way,
    and may not even be killed (state D).

    Common causes: the GPU fell off the bus or its firmware hangs; a known fault of a driver version; a very slow
    start where no program keeps the driver awake.

    What to do: read the kernel log for Xid messages, restart the machine, and update the driver if it comes back.
    """
    hung = _ended(case, "timeout")
    if hung is None:
        return
    yield this.finding(
        say("The NVIDIA driver did not answer: {call} hung", call=hung.stage or hung.look),
        evidence=(exhibits.look(hung),),
        fixes=(remedies.kernel_log(case), remedies.reboot(case), *remedies.otherwise(*remedies.install_driver(case))),
        severity="warning" if _works(case) else "error",
        confidence="likely",
    )


def _works(case: Case) -> bool:
    return bool(case.cuda_available) and any(card.kernel_ok for card in case.cards)


@check("EC220", "driver-library-crashed", cause="driver_library_broken", needs=("looked_at_driver",), explains=NO_CUDA)
def driver_library_crashed(this: Check, case: Case) -> Iterator[Finding]:
    """A library of the driver crashes.

    What it means: the process that asked the driver was ended by a signal (SIGSEGV, SIGBUS, SIGABRT) inside the
    driver's library.

    Common causes: a file of the driver is damaged or cut short; parts of two driver versions are mixed.

    What to do: install the driver anew, and restart.
    """
    crashed = _ended(case, "crashed")
    if crashed is None or crashed.signal is None:
        return
    text = say(
        "The driver's library crashed in {call} ({signal})", call=crashed.stage or crashed.look, signal=crashed.signal
    )
    yield this.finding(
        text,
        evidence=(exhibits.look(crashed), *_paths(case)),
        fixes=remedies.install_driver(case),
        severity="warning" if _works(case) else "error",
        confidence="likely",
    )


def _paths(case: Case) -> tuple[Evidence, ...]:
    return tuple(exhibits.library(one) for one in case.facts.nvidia.libraries[:3] if one.path)


@check("EC221", "driver-library-foreign", cause="driver_library_broken", needs=("looked_at_driver",), explains=NO_CUDA)
def driver_library_foreign(this: Check, case: Case) -> Iterator[Finding]:
    """A library that calls itself NVIDIA's ended the process.

    What it means: the process that loaded the library ended without a word and without a signal. NVIDIA's libraries
    do not do that: this one is a stub or a stand-in.

    Common causes: a library of a simulator, a test or a remote-GPU product lies before the driver's on the search
    path.

    What to do: look at the path shown, and take it out of LD_LIBRARY_PATH or ld.so.conf.
    """
    ended = next((one for one in (_ended(case, "crashed"), _ended(case, "failed")) if one), None)
    if ended is None or ended.signal is not None or ended.returncode != 0 or ended.look == "smi":
        return
    yield this.finding(
        say("The library behind {look} ended the process: it is not NVIDIA's", look=ended.look),
        evidence=(exhibits.look(ended), *_paths(case)),
        fixes=_loader_path(case),
        confidence="likely",
    )


@check(
    "EC222",
    "stub-libcuda",
    cause="stub_libcuda_34",
    needs=("driver_answered",),
    hears=("stub_libcuda_34",),
    explains=(*NO_CUDA, "EC202", "EC224"),
)
def stub_libcuda(this: Check, case: Case) -> Iterator[Finding]:
    """The toolkit's stub stands in for the driver's libcuda.

    What it means: the CUDA toolkit ships an empty libcuda in a folder named stubs, for linking only. The loader
    found that one before the driver's, so CUDA reports error 34 or no device.

    Common causes: the stubs folder is in LD_LIBRARY_PATH or in ld.so.conf.

    What to do: take the stubs folder out of the search path.
    """
    told, status = case.said("stub_libcuda_34"), case.cuda_status(34)
    stubs = [one for one in case.facts.nvidia.libraries if "/stubs/" in (one.path or "")]
    if case.has_nvidia is False or not (told or status or (stubs and not case.cuda_available)):
        return
    yield this.finding(
        say("The loader takes the CUDA toolkit's stub instead of the driver's libcuda"),
        evidence=(
            *(exhibits.library(one) for one in stubs),
            *((exhibits.status(status),) if status else ()),
            *heard(told),
        ),
        fixes=_loader_path(case),
        severity=wish(case),
        confidence="certain" if told or status else "likely",
    )


def _loader_path(case: Case) -> tuple[Fix, ...]:
    if case.facts.host.os == "windows":
        return (remedies.step(say("Take the folder of that library out of PATH")),)
    path = case.variable("LD_LIBRARY_PATH")
    first = (remedies.unset(case, "LD_LIBRARY_PATH"),) if path else ()
    look = remedies.line(say("See which files the loader knows"), "ldconfig -p | grep -E 'libcuda|libnvidia-ml'")
    return (*first, look, remedies.step(say("Take the folder shown out of /etc/ld.so.conf.d, then run sudo ldconfig")))


@check(
    "EC223",
    "driver-library-unreadable",
    cause="driver_library_broken",
    needs=("driver_answered",),
    hears=("driver_library_unreadable",),
    explains=(*NO_CUDA, "EC202", "EC244", "EC340"),
)
def driver_library_unreadable(this: Check, case: Case) -> Iterator[Finding]:
    """A library of the driver cannot be loaded.

    What it means: the file is there, but the loader refuses it: it is made for another processor or word size
    (wrong ELF class), or it is damaged (file too short, invalid ELF header).

    Common causes: an interrupted installation, a full disk, a 32-bit library before the 64-bit one.

    What to do: install the driver's libraries anew.
    """
    told = case.said("driver_library_unreadable")
    if not told or case.listed:
        return
    _, groups = told[0]
    yield this.finding(
        say("The driver's library cannot be loaded: {why}", why=groups.get("why", "?")),
        evidence=heard(told),
        fixes=remedies.install_driver(case),
        severity="warning" if case.cuda_available else "error",
    )


@check(
    "EC225",
    "forward-compatibility-refused",
    cause="forward_compat_804",
    needs=("driver_answered",),
    hears=("forward_compat_804",),
    explains=(*NO_CUDA, "EC206", "EC224"),
)
def forward_compatibility_refused(this: Check, case: Case) -> Iterator[Finding]:
    """A compatibility library is used on a GPU that may not use it.

    What it means: a folder named compat holds a libcuda newer than the driver. Only data-centre GPUs may use it; on
    others CUDA reports error 804.

    Common causes: a container image puts /usr/local/cuda/compat first; a package cuda-compat was installed on a
    machine with a GeForce GPU.

    What to do: let the loader find the driver's own libcuda first, or update the driver so that compat is not
    needed.
    """
    told, status = case.said("forward_compat_804"), case.cuda_status(804)
    compat = [one for one in case.libraries("libcuda") if "compat" in (one.path or "")]
    failed = case.cuda_available is False or any("cudaGetDeviceCount()" in one.text for one in case.heard)
    path = case.variable("LD_LIBRARY_PATH") or ""
    first = path.partition(":")[0].endswith("/compat")
    suspected = case.pasted and (compat or first) and case.listed and failed and not case.said("libcuda_mismatch_803")
    if not told and not status and not suspected:
        return
    surely = bool(told or status)
    yield this.finding(
        say("A libcuda from a compat folder was tried on a GPU that may not use it (CUDA error 804)")
        if surely
        else say("The loader takes a libcuda from a compat folder, which this GPU may not be allowed to use"),
        evidence=(
            *heard(told),
            *((exhibits.status(status),) if status else ()),
            *map(exhibits.library, compat),
            *((exhibits.fact("variables.LD_LIBRARY_PATH", path, "environment"),) if first and not compat else ()),
        ),
        fixes=_without_compat(case),
        confidence="certain" if surely else "possible",
    )


def _without_compat(case: Case) -> tuple[Fix, ...]:
    folder = "/usr/local/cuda/compat"
    away = say("Take the compat folder away from the loader (in a container: in its image)")
    inside = remedies.lines(away, (f"sudo mv {folder} {folder}.unused", "sudo ldconfig"))
    path = case.variable("LD_LIBRARY_PATH") or ""
    first = (remedies.unset(case, "LD_LIBRARY_PATH"),) if "compat" in path else ()
    return (*first, *inside, *remedies.otherwise(*remedies.install_driver(case)))


@check(
    "EC224",
    "libcuda-of-other-version",
    cause="libcuda_mismatch_803",
    needs=("driver_answered",),
    hears=("libcuda_mismatch_803",),
    explains=NO_CUDA,
)
def libcuda_of_other_version(this: Check, case: Case) -> Iterator[Finding]:
    """The loaded libcuda does not fit the kernel module.

    What it means: CUDA reports error 803: the libcuda that the loader picked is of a version that the kernel module
    does not work with.

    Common causes: the driver was updated and the machine not restarted; an image brings its own libcuda (compat).

    What to do: restart the machine; in a container, take the image's libcuda out of the way.
    """
    told, status = case.said("libcuda_mismatch_803"), case.cuda_status(803)
    surely = bool(told or status)
    if not surely and not _other_version(case):
        return
    sure: Confidence = "likely" if case.listed and case.cuda_available is False else "possible"
    yield this.finding(
        say("The loaded libcuda and the kernel module do not fit each other (CUDA error 803)")
        if surely
        else say("A libcuda is there that is of another version than the driver"),
        evidence=(
            *heard(told),
            *((exhibits.status(status),) if status else ()),
            *(exhibits.library(one) for one in case.libraries("libcuda")),
            *exhibits.sightings("nvidia.driver_versions", case.facts.nvidia.driver_versions[:1]),
        ),
        fixes=_one_libcuda(case, updated=surely),
        confidence="certain" if surely else sure,
    )


def _one_libcuda(case: Case, *, updated: bool) -> tuple[Fix, ...]:
    """Back to the driver's own libcuda: by a restart first where the driver itself was `updated`."""
    if case.in_container or _compat(case):
        return _without_compat(case)
    reboot, path = (remedies.reboot(case),), _loader_path(case)
    return (*reboot, *remedies.otherwise(*path)) if updated else (*path, *remedies.otherwise(*reboot))


def _other_version(case: Case) -> bool:
    """Whether a listing shows a libcuda of another version than the driver's, which answers, and CUDA does not."""
    driver = case.driver_version
    if not case.pasted or not driver or case.cuda_available or case.facts.host.wsl:
        return False
    return any(one.version and not same_release(one.version, driver) for one in case.libraries("libcuda"))


def _compat(case: Case) -> bool:
    return any("compat" in (one.path or "") for one in case.libraries("libcuda"))


CHECKS = (
    driver_hung,
    driver_library_crashed,
    driver_library_foreign,
    stub_libcuda,
    driver_library_unreadable,
    forward_compatibility_refused,
    libcuda_of_other_version,
)
