"""EC622, EC623, EC627, EC629, EC640 to EC646, EC346: an installer found its server, and could not install."""

import re
from collections.abc import Iterator

from envcheck.catalogue.software import page
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.machine import Said
from envcheck.diagnosis.pythonrange import outside_range
from envcheck.diagnosis.resolution import (
    Fault,
    Verdict,
    faults,
    known_variants,
    network_failed,
    never_built,
    unknown_folder,
)
from envcheck.diagnosis.torch_build import asked
from envcheck.model.patterns import regex
from envcheck.model.report import Confidence, Evidence, Finding, Fix
from envcheck.model.text import Text, say
from envcheck.model.versions import numbers

_ROCM_SERVER = regex(r"://\S{0,80}\brocm\b")
_LONG_PATHS = (
    r"New-ItemProperty -Path HKLM:\SYSTEM\CurrentControlSet\Control\FileSystem"
    " -Name LongPathsEnabled -Value 1 -PropertyType DWORD -Force"
)


def _blamed(case: Case, fault: Fault) -> Verdict | None:
    return next((one for one in faults(case) if one.fault == fault), None)


def _asked(verdict: Verdict) -> str:
    one = verdict.unmet
    tag = f"+{one.local}" if one.local else ""
    return f"torch=={one.asked}{tag}" if one.asked else "torch"


def _shown(verdict: Verdict) -> tuple[Evidence, ...]:
    offered = verdict.unmet.offered
    listed = ", ".join(offered[:3] + ("...",) * (len(offered) > 6) + offered[-3:] if len(offered) > 3 else offered)
    return (*heard(((verdict.unmet.message, {}),), 1), *((fact("messages", listed, "text"),) if listed else ()))


@check("EC622", "index-tag-missing", cause="index_tag_missing", explains=("EC635", "EC640"), needs=("anything_said",))
def index_tag_missing(this: Check, case: Case) -> Iterator[Finding]:
    """There is no such CUDA variant of this release.

    What it means: the index was reached, but it has no folder of that name, or this release was not built for that
    version of CUDA on this system.

    Common causes: the CUDA version of the toolkit or of nvidia-smi was written into the address; a pair of release
    and CUDA from a guide for another system; a CUDA version for which PyTorch makes no builds; the address of a
    wheel that was never built or was taken away; pip's spelling with `+cu` given to conda, which names builds
    otherwise.

    What to do: take a variant that exists. The driver decides which are possible, not the installed toolkit.
    """
    verdict = _blamed(case, "index_tag_missing")
    if verdict is not None:
        known = known_variants(case)
        tags = [tag for tag in (verdict.unmet.local, *sorted(verdict.unmet.variants)) if tag]
        tag = next((tag for tag in tags if tag not in known), tags[0] if tags else "?")
        yield this.finding(
            say("{asked} does not exist for {tag}", asked=_asked(verdict).partition("+")[0], tag=tag),
            why=say("These variants exist for it: {variants}", variants=_variants(case, verdict))
            if _variants(case, verdict)
            else None,
            evidence=_shown(verdict),
            fixes=remedies.reinstall_torch(case),
            confidence=verdict.confidence,
        )
        return
    looks = (_no_folder, _never_built, _absent_wheel, _pip_spelling, _rocm_index_lacks)
    absent = next((found for look in looks if (found := look(case)) is not None), None)
    if absent is not None:
        title, said, confidence = absent
        yield this.finding(title, evidence=heard(said, 1), fixes=remedies.reinstall_torch(case), confidence=confidence)


_Absent = tuple[Text, Said, Confidence]
"""What the server does not have, the message that shows it, and how sure that is."""


def _no_folder(case: Case) -> _Absent | None:
    refused = unknown_folder(case)
    if refused is None:
        return None
    return say("PyTorch's index has no folder {tag}", tag=refused[0]), ((refused[1], {}),), "certain"


def _never_built(case: Case) -> _Absent | None:
    found = never_built(case)
    if found is None:
        return None
    version, variant, message = found
    title = say("{asked} does not exist for {tag}", asked=f"torch=={version}", tag=variant)
    return title, ((message, {}),), "likely"


def _absent_wheel(case: Case) -> _Absent | None:
    """The address of a wheel of torch that somebody wrote down and that answers 404."""
    found = ((message, groups) for message, groups in case.said("mirror_404") if groups.get("url", "").endswith(".whl"))
    said = tuple(one for one in found if re.search(r"/torch-\d", one[1]["url"]))
    return (say("There is no such wheel on the server"), said, "possible") if said else None


def _pip_spelling(case: Case) -> _Absent | None:
    """`pytorch=2.1.0+cu121`: conda's channels name their builds otherwise."""
    said = case.said("conda_pip_tag")
    if not said or not case.said("conda_not_found"):
        return None
    version = said[0][1]["version"]
    title = say("conda's channels know no version {version}: only pip's builds are named so", version=version)
    return title, said, "likely"


def _rocm_index_lacks(case: Case) -> _Absent | None:
    """AMD's own index was reached, and its folder does not exist or does not hold the release."""
    said = case.said("rocm_index_lacks")
    if not said or network_failed(case):
        return None
    title = say("The index has no {asked}", asked=said[0][1]["requirement"])
    return title, said, "likely" if asked(case, _ROCM_SERVER) else "possible"


def _variants(case: Case, verdict: Verdict) -> str:
    asked = verdict.unmet.asked
    rows = (build for build in case.builds_here if asked and numbers(build.torch) == numbers(asked))
    return ", ".join(sorted({build.variant for build in rows}))


@check("EC623", "index-not-used", cause="index_not_used", needs=("anything_said",))
def index_not_used(this: Check, case: Case) -> Iterator[Finding]:
    """The index of the CUDA builds was not asked.

    What it means: the installer lists the release, but only its plain builds: a version with `+cu` in its name is
    on PyTorch's own index only.

    Common causes: `--index-url` or `--extra-index-url` was left out or mistyped; a requirements file without it; a
    mirror of the default index; an index that has nothing for this Python or system.

    What to do: add the index of that CUDA variant to the command.
    """
    verdict = _blamed(case, "index_not_used")
    if verdict is None:
        return
    one = verdict.unmet
    index = next((build.index for build in case.catalogue.builds() if build.variant == one.local and build.index), None)
    again: tuple[Fix, ...] = ()
    if index:
        argv = remedies.pip(case, "install", _asked(verdict), "--index-url", index)
        again = (remedies.command(case, say("Ask the index that has it"), *argv),)
    yield this.finding(
        say("{asked} is only on PyTorch's own index, which was not asked", asked=_asked(verdict)),
        evidence=_shown(verdict),
        fixes=(*again, *remedies.reinstall_torch(case, alternative=bool(again))),
        confidence=verdict.confidence,
    )


@check("EC627", "release-missing", cause="release_missing", needs=("anything_said",))
def release_missing(this: Check, case: Case) -> Iterator[Finding]:
    """The index has no such release.

    What it means: the version that was asked for is not among those that the index lists.

    Common causes: a version that was never published, or was withdrawn; a mirror that lags behind; versions of torch
    and torchvision mixed up.

    What to do: take a version that is listed, or ask the official index.
    """
    verdict = _blamed(case, "release_missing")
    if verdict is not None:
        yield this.finding(
            say("The index has no {asked}", asked=_asked(verdict)),
            evidence=_shown(verdict),
            fixes=remedies.reinstall_torch(case),
            confidence=verdict.confidence,
        )


@check("EC646", "python-outside-range", cause="python_too_old", needs=("anything_said",), explains=("EC629", "EC635"))
def python_outside_range(this: Check, case: Case) -> Iterator[Finding]:
    """The package refuses this version of Python.

    What it means: the package itself says for which versions of Python it is made, and this is none of them.

    Common causes: a wheel or release that was named exactly, in an environment with an older or newer Python.

    What to do: make an environment with a Python that the package names, or take another release.
    """
    for one in outside_range(case)[:1]:
        have = one.have
        yield this.finding(
            say("{name} is not made for Python {have}", name=one.name, have=have)
            if have
            else say("{name} is not made for this Python", name=one.name),
            why=say("It asks for {need}", need=one.need),
            evidence=heard(((one.message, one.groups),), 1),
            fixes=remedies.reinstall_torch(case),
            cause="python_too_old" if one.too_old else "python_too_new",
            confidence="certain" if one.sure else "likely",
        )


@check("EC645", "conda-sees-no-driver", cause="conda_no_cuda", explains=("EC629",), needs=("anything_said",))
def conda_sees_no_driver(this: Check, case: Case) -> Iterator[Finding]:
    """Conda sees no NVIDIA driver.

    What it means: CUDA builds of conda-forge want the virtual package `__cuda`, which conda makes from the driver of
    the computer that it runs on. Here it saw none, or an older one than the build wants.

    Common causes: solving on a login node, in a container build or in WSL without a GPU; a driver that is too old.

    What to do: on a computer without the GPU, say by CONDA_OVERRIDE_CUDA which CUDA the other computer's driver has.
    """
    said = case.said("conda_no_cuda")
    if not said:
        return
    cuda = case.cuda_driver_version
    override = remedies.set_variable(case, "CONDA_OVERRIDE_CUDA", cuda) if cuda else None
    yield this.finding(
        say("conda sees no NVIDIA driver that is new enough"),
        evidence=heard(said, 1),
        fixes=(
            override
            or remedies.step(say("Set CONDA_OVERRIDE_CUDA to the CUDA version of the driver where it will run")),
            *remedies.reinstall_torch(case, alternative=True),
        ),
    )


@check("EC629", "conda-unsolvable", cause="conda_unsolvable", needs=("anything_said",))
def conda_unsolvable(this: Check, case: Case) -> Iterator[Finding]:
    """Conda finds no set of packages that fit together.

    What it means: no builds in the configured channels meet everything that was asked and what is installed.

    Common causes: a Python for which the release has no build; a CUDA version that the channels do not have; channels
    missing (`nvidia` for old releases); strict priority that hides the build; an old base environment.

    What to do: solve in a new environment, from conda-forge alone.
    """
    said = case.said("conda_unsolvable")
    if said and any("torch" in message.text for message, _ in said):
        yield this.finding(
            say("conda finds no PyTorch that fits what was asked"),
            evidence=heard(said, 1),
            fixes=remedies.reinstall_torch(case),
            confidence="likely",
        )


@check("EC346", "build-isolation", cause="build_isolation", explains=("EC300", "EC309"), needs=("anything_said",))
def build_isolation(this: Check, case: Case) -> Iterator[Finding]:
    """A package that is built from source does not see torch.

    What it means: pip and uv build a package in an empty environment of its own. A package whose build imports
    torch fails there with "No module named 'torch'", although torch is installed.

    Common causes: installing flash-attn, xformers or another extension for which no ready wheel fits.

    What to do: install torch first, then build the package without isolation; better still, install a wheel of it
    that was made for this torch and CUDA.
    """
    said = case.said("build_isolation")
    if not said:
        return
    yield this.finding(
        say("A package that builds from source cannot see the installed torch"),
        why=say("Builds run in an empty environment unless isolation is switched off"),
        evidence=heard(said, 1),
        fixes=(
            remedies.command(
                case,
                say("Build it without isolation, with the name of the package in place of PACKAGE"),
                *remedies.pip(case, "install", "--no-build-isolation", "PACKAGE"),
            ),
        ),
    )


@check("EC640", "killed-while-installing", cause="pip_out_of_memory", needs=("anything_said",))
def killed_while_installing(this: Check, case: Case) -> Iterator[Finding]:
    """The installer ran out of memory.

    What it means: pip takes a whole wheel into memory when it reads or writes its cache, and the wheels of torch are
    very large.

    Common causes: a small virtual machine or board; a limit of a container or of a batch system.

    What to do: install without the cache.
    """
    said = case.said("pip_out_of_memory")
    if said:
        yield this.finding(
            say("pip ran out of memory while it handled the wheel of torch"),
            evidence=heard(said, 1),
            fixes=(remedies.step(say("Run the command again with --no-cache-dir added")),),
        )


@check("EC641", "target-not-writable", cause="permission_denied", needs=("anything_said",))
def target_not_writable(this: Check, case: Case) -> Iterator[Finding]:
    """The installer may not write into the environment.

    What it means: the environment belongs to another user, or a file in it is in use.

    Common causes: the system's Python without administrator's rights; an environment made with sudo; on Windows, a
    running Python that holds a DLL of torch.

    What to do: make an environment of your own. On Windows, close every Python and try again.
    """
    said = case.said("permission_denied")
    if not said:
        return
    own = remedies.command(
        case, say("Make an environment of your own"), remedies.python_of(case), "-m", "venv", ".venv"
    )
    close = remedies.step(say("Close every program that uses this Python, then try again"))
    windows = case.facts.host.os == "windows" or "WinError" in said[0][0].text
    yield this.finding(
        say("The installer may not write into the environment"),
        evidence=heard(said, 1),
        fixes=(close, own) if windows else (own,),
    )


@check("EC642", "path-too-long", cause="windows_long_path", needs=("anything_said",))
def path_too_long(this: Check, case: Case) -> Iterator[Finding]:
    """A path is too long for Windows.

    What it means: torch has files whose paths pass the limit of 260 characters when the environment lies deep.

    Common causes: the Python of the Microsoft Store, whose folder has a very long name; an environment in a deep
    folder.

    What to do: switch long paths on in Windows, or make the environment in a short path.
    """
    said = case.said("windows_long_path")
    if said:
        yield this.finding(
            say("A path in the package is too long for Windows"),
            evidence=heard(said, 1),
            fixes=(
                remedies.line(
                    say(
                        "In a PowerShell that runs as administrator, switch long paths on: {url}", url=page("long_path")
                    ),
                    _LONG_PATHS,
                ),
                remedies.reboot(case),
                remedies.step(say("Make the environment in a folder with a short path"), alternative=True),
            ),
        )


@check("EC643", "conda-terms", cause="conda_terms", explains=("EC629",), needs=("anything_said",))
def conda_terms(this: Check, case: Case) -> Iterator[Finding]:
    """Conda wants the terms of a channel to be accepted.

    What it means: the channels of Anaconda (`defaults`) ask for their terms to be accepted, and in a script nobody
    can answer.

    Common causes: a new Miniconda in a script, a container build or a job.

    What to do: use conda-forge alone, which asks nothing, or accept the terms if they suit you.
    """
    said = case.said("conda_terms")
    if said:
        yield this.finding(
            say("conda waits for the terms of its default channels to be accepted"),
            evidence=heard(said, 1),
            fixes=(
                remedies.command(
                    case, say("Leave the default channels out"), "conda", "config", "--remove", "channels", "defaults"
                ),
                remedies.command(case, say("Use conda-forge"), "conda", "config", "--add", "channels", "conda-forge"),
            ),
        )


@check("EC644", "conda-without-channels", cause="conda_no_channels", explains=("EC629",), needs=("anything_said",))
def conda_without_channels(this: Check, case: Case) -> Iterator[Finding]:
    """Conda has no channel.

    What it means: newer versions of conda no longer take the default channels by themselves, and none is configured.

    Common causes: a new Miniforge or a .condarc with an empty list.

    What to do: configure conda-forge.
    """
    said = case.said("conda_no_channels")
    if said:
        yield this.finding(
            say("conda has no channel to take packages from"),
            evidence=heard(said, 1),
            fixes=(
                remedies.command(case, say("Use conda-forge"), "conda", "config", "--add", "channels", "conda-forge"),
            ),
        )


CHECKS = (
    build_isolation,
    index_tag_missing,
    index_not_used,
    release_missing,
    python_outside_range,
    conda_sees_no_driver,
    conda_terms,
    conda_without_channels,
    conda_unsolvable,
    killed_while_installing,
    target_not_writable,
    path_too_long,
)
