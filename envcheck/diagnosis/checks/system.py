"""EC1xx: the system, its C library and its processor, below the interpreter."""

import re
from collections.abc import Iterator

from envcheck.diagnosis import remedies, unmet
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard, spoken
from envcheck.diagnosis.machine import Said
from envcheck.model.facts import Message
from envcheck.model.report import Confidence, Finding, Fix
from envcheck.model.text import say
from envcheck.model.versions import at_least, numbers


@check(
    "EC104", "musl", cause="musl", needs=("libc",), hears=("musl", "wheel_platform_here"), explains=("EC300", "EC31")
)
def musl(this: Check, case: Case) -> Iterator[Finding]:
    """The system's C library is musl.

    What it means: the official wheels of torch are made for glibc (manylinux). On a musl system such as Alpine they
    are not offered, and when they are forced in, symbols are missing.

    Common causes: a container image based on Alpine.

    What to do: use an image based on Debian, Ubuntu or another glibc system, for instance python:3.12-slim.
    """
    told = case.said("musl") or _platform_here(case, "musllinux")
    if case.torch_imported or (case.libc != "musl" and not told):
        return
    libc = (fact("python.libc", "musl", case.facts.python.look),) if case.libc == "musl" else ()
    yield this.finding(
        say("The C library here is musl, and torch's wheels need glibc"),
        evidence=libc + heard(told),
        fixes=(
            remedies.line(say("Use an image based on glibc"), "docker run -it python:3.12-slim"),
            remedies.step(say("Build torch from source on this system"), alternative=True),
        ),
        confidence="certain" if libc else "likely",
    )


@check(
    "EC105",
    "glibc-too-old",
    cause="glibc_too_old",
    needs=("libc_version",),
    hears=("unmet_torch", "glibc_too_old", "wheels_for_platforms", "wheel_of_other_platform", "wheel_platform_here"),
    explains=("EC300", "EC31"),
)
def glibc_too_old(this: Check, case: Case) -> Iterator[Finding]:
    """The system's glibc is too old for torch.

    What it means: wheels name the oldest glibc that they run on (manylinux_2_28 means glibc 2.28). An older system
    is not offered them, or fails with "version GLIBC_2.28 not found".

    Common causes: an old long-term release (CentOS 7, Ubuntu 18.04) or an old cluster image.

    What to do: update the system, or work in a container with a newer one. If neither is possible, take the newest
    release of torch that still has wheels for this glibc.
    """
    reason = unmet.blamed(case, "glibc_too_old")
    other = case.torch_imported is True and not case.pasted  # torch works: whatever said it is not asked about
    told = case.said("glibc_too_old") if not other and case.libc != "musl" else ()
    # conda names what it has and what is wanted in other conflicts, too
    told = tuple(one for one in told if not at_least(one[1].get("have", "0"), one[1].get("needed", "1")))
    refused = _wheel_of_newer_glibc(case)
    version = case.libc_version or "?"
    evidence = (fact("python.libc_version", version, case.facts.python.look),) if case.libc_version else ()
    if reason is not None:
        need = (reason.build.libc if reason.build else None) or "?"
        title = say("{torch} needs glibc {need}, newer than here", torch=reason.wish, need=need)
        yield this.finding(
            title,
            evidence=(*evidence, spoken(reason.unmet.message)),
            fixes=_newer_glibc(case),
            confidence=reason.confidence,
        )
    elif refused is not None:
        title = say("The wheel needs glibc {need}, newer than here", need=refused[1])
        yield this.finding(
            title, evidence=(*evidence, spoken(refused[0])), fixes=_newer_glibc(case), confidence=refused[2]
        )
    elif told:
        title = say("A library needs glibc {need}, newer than here", need=told[0][1].get("needed", "?"))
        yield this.finding(title, evidence=(*evidence, *heard(told)), fixes=_newer_glibc(case), confidence="likely")
    elif not case.torch_imported and case.libc == "glibc" and not _some_build_for(case, version):
        title = say("No release of torch has wheels for glibc {version}", version=version)
        yield this.finding(title, evidence=evidence, fixes=_newer_glibc(case))


def _wheel_of_newer_glibc(case: Case) -> tuple[Message, str, Confidence] | None:
    """A wheel for manylinux_2_N that pip or uv refused, where N is more than what is here (or is not known)."""
    hints = " ".join(groups.get("platforms", "") for _, groups in case.said("wheels_for_platforms"))
    for message, groups in _platform_here(case, "manylinux_2_"):
        here = re.match(r"manylinux_2_(\d{1,2})_(\w+)", groups["here"])
        offered = re.findall(r"manylinux_2_(\d{1,2})_" + (here[2] if here else ""), groups.get("platforms") or hints)
        if here and offered and all(int(minor) > int(here[1]) for minor in offered):
            return message, f"2.{min(offered, key=int)}", "certain"
        known = [one.libc for one in case.builds_here if one.os == "linux" and one.torch == groups["version"]]
        needs = [libc for libc in known if libc]
        if here and not offered and needs and not any(at_least(f"2.{here[1]}", libc) for libc in needs):
            return message, min(needs, key=numbers), "likely"
    for message, groups in case.said("wheel_of_other_platform"):
        needs = [f"2.{minor}" for minor in re.findall(r"manylinux_2_(\d{1,2})_", groups["platform"])]
        python = f"3.{groups['python'][3:]}"
        if not needs or (case.python_version and numbers(case.python_version)[:2] != numbers(python)):
            continue
        need = min(needs, key=numbers)
        if case.libc_version is None:
            return message, need, "possible"
        if not at_least(case.libc_version, need):
            return message, need, "certain"
    return None


def _platform_here(case: Case, family: str) -> Said:
    """What uv says of a machine whose platform tag begins with `family`."""
    return tuple(one for one in case.said("wheel_platform_here") if one[1]["here"].startswith(family))


def _some_build_for(case: Case, libc_version: str) -> bool:
    rows = [build for build in case.builds_here if build.os == "linux"]
    return not rows or any(build.libc is None or at_least(libc_version, build.libc) for build in rows)


def _newer_glibc(case: Case) -> tuple[Fix, ...]:
    return (
        remedies.step(say("Update the system, or work in a container of a newer one")),
        *remedies.reinstall_torch(case, alternative=True),
    )


@check(
    "EC108",
    "cpu-without-avx",
    cause="cpu_no_avx",
    hears=("cpu_no_avx",),
    needs=("illegal_instruction",),
    explains=("EC313", "EC311", "EC9", "EC4"),
)
def cpu_without_avx(this: Check, case: Case) -> Iterator[Finding]:
    """The processor lacks instructions that torch uses.

    What it means: Python was ended by the signal SIGILL (illegal instruction; exit status 132 or -4) while torch
    was loaded or computed. No exception is raised, so only another process can see it.

    Common causes: an old or small processor without AVX or AVX2; a virtual machine whose processor model hides
    them.

    What to do: in a virtual machine, pass the host's processor through (QEMU: -cpu host). Else build torch from
    source for this processor, or use another machine.
    """
    told = case.said("cpu_no_avx")
    died = case.illegal_instruction
    if not told and not died:
        return
    flags = case.facts.host.cpu_flags
    lacks = flags is not None and not {"avx", "avx2"} <= set(flags) and case.facts.host.machine in (None, "x86_64")
    seen = heard(told)
    if died:
        seen = (*seen, fact("observations.torch", "SIGILL", "torch"))
    if flags is not None:
        seen = (*seen, fact("host.cpu_flags", " ".join(flags) or "-", "host"))
    yield this.finding(
        say("The processor lacks an instruction that torch uses (SIGILL)"),
        why=say("it has no AVX2: {cpu}", cpu=case.facts.host.cpu_model or "?") if lacks else None,
        evidence=seen,
        fixes=(
            remedies.step(say("In a virtual machine, pass the host's processor through (QEMU: -cpu host)")),
            remedies.step(say("Build torch from source for this processor, or use another machine"), alternative=True),
        ),
        confidence="certain" if lacks else "likely" if flags is None else "possible",
    )


@check(
    "EC109",
    "no-cuda-on-macos",
    cause="no_cuda_on_macos",
    needs=("on_macos",),
    hears=("cuda_on_macos", "uv_cuda_on_macos", "not_compiled_with_cuda", "conda_cuda_absent", "wheel_platform_here"),
    explains=("EC101", "EC102", "EC202", "EC6"),
)
def no_cuda_on_macos(this: Check, case: Case) -> Iterator[Finding]:
    """There is no CUDA on macOS.

    What it means: NVIDIA ended CUDA for macOS with version 10.2, and torch publishes no CUDA builds for it. A
    "+cuXXX" version or a CUDA index has nothing for a Mac.

    Common causes: a command or requirements file that was written for Linux; code that says .cuda() or
    device="cuda".

    What to do: install the plain torch from the default index, and use the device "mps" on Apple silicon.
    """
    wanted = unmet.blamed(case, "no_cuda_on_macos")
    if (not case.on_macos and wanted is None) or case.facts.python.bits == 32:
        return
    refused = (*_platform_here(case, "macosx"), *case.said("uv_no_wheel_here"))
    refused = tuple(one for one in refused if "+cu" in one[1]["version"])
    heard_of = ("cuda_on_macos", "uv_cuda_on_macos", "conda_cuda_absent")
    told = refused or next((said for slug in heard_of if (said := case.said(slug))), ())
    told = told or ((case.said("not_compiled_with_cuda") or case.said("driver_missing")) if case.pasted else ())
    asked = case.pasted and case.cuda_available is False and not case.torch_version
    if not told and wanted is None and not asked:
        return
    answer = (fact("torch.cuda_available", "False", case.facts.torch.look),)
    yield this.finding(
        say("There is no CUDA build of torch for macOS")
        if case.on_macos
        else say("PyTorch's own page offers plain builds alone: so it does on macOS, for which there is no CUDA"),
        why=say('on Apple silicon torch computes on the GPU through MPS: device="mps"'),
        evidence=heard(told) or ((spoken(wanted.unmet.message),) if wanted else answer),
        fixes=(
            remedies.command(
                case, say("Install the plain build"), *remedies.pip(case, "install", "torch", "torchvision")
            ),
            remedies.step(say('In the code, use the device "mps" where it says "cuda"')),
        ),
        confidence="certain" if case.on_macos else "likely",
    )


@check(
    "EC110",
    "macos-on-intel",
    severity="info",
    cause="macos_x86_64_ended",
    needs=("on_macos",),
    explains=("EC101", "EC300"),
)
def macos_on_intel(this: Check, case: Case) -> Iterator[Finding]:
    """Torch for Macs with an Intel processor has ended.

    What it means: the last release with wheels for macOS on x86_64 is older than the present one. A pinned newer
    release is not found there.

    Common causes: a Mac with an Intel processor, or a Python for Intel on Apple silicon (Rosetta).

    What to do: on Apple silicon, install a Python for arm64. On an Intel Mac, stay with the last release that has
    wheels.
    """
    host = case.facts.host
    if not case.on_macos or "x86_64" not in (host.machine, (case.facts.python.platform or "").rpartition("-")[2]):
        return
    if host.machine == "arm64":
        return
    last = max(
        (build.torch for build in case.catalogue.builds() if (build.os, build.machine) == ("macos", "x86_64")),
        key=numbers,
        default=None,
    )
    asked = unmet.blamed(case, "macos_x86_64_ended")
    if last is None:
        return
    refused = tuple(
        one for one in _platform_here(case, "macosx") if numbers(one[1]["version"].partition("+")[0]) > numbers(last)
    )
    pin = f"torch=={last}"
    yield this.finding(
        say("On Macs with an Intel processor, torch ends with {last}", last=last),
        evidence=(
            fact("host.machine", "x86_64", "host"),
            *((spoken(asked.unmet.message),) if asked else heard(refused, 1)),
        ),
        fixes=(remedies.command(case, say("Install that release"), *remedies.pip(case, "install", pin, "numpy<2")),)
        if not case.torch_imported
        else (),
        severity="error" if asked or refused else "info",
    )


@check(
    "EC114",
    "machine-without-wheels",
    cause="machine_unsupported",
    needs=("host_machine",),
    explains=("EC300", "EC101", "EC102"),
)
def machine_without_wheels(this: Check, case: Case) -> Iterator[Finding]:
    """Torch has no wheels for this kind of machine.

    What it means: official wheels exist for a few pairs of system and processor: Linux on x86_64 and aarch64,
    Windows on x86_64 (and Arm), macOS on arm64. This machine is none of them.

    Common causes: a 32-bit Arm board, POWER, RISC-V or an operating system without wheels.

    What to do: use a distribution's or conda-forge's package where it has one, or build torch from source.
    """
    if case.torch_imported or case.facts.host.os is None or case.builds_here or not case.catalogue.builds():
        return
    if case.facts.python.bits == 32 and case.facts.host.os == "windows":  # another Python will do there
        return
    yield this.finding(
        say("torch has no wheels for {os} on {machine}", os=case.facts.host.os, machine=case.host_machine),
        evidence=(fact("host.machine", case.host_machine, "host"),),
        fixes=(remedies.step(say("Use your distribution's or conda-forge's package, or build torch from source")),),
    )


CHECKS = (
    machine_without_wheels,
    musl,
    no_cuda_on_macos,
    macos_on_intel,
    glibc_too_old,
    cpu_without_avx,
)
