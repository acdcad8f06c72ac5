"""EC629, EC640 to EC646, EC346: an installer found its server, and could not install."""

from collections.abc import Iterator

from envcheck.catalogue.software import page
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import heard
from envcheck.diagnosis.pythonrange import outside_range
from envcheck.model.report import Finding
from envcheck.model.text import say

_LONG_PATHS = (
    r"New-ItemProperty -Path HKLM:\SYSTEM\CurrentControlSet\Control\FileSystem"
    " -Name LongPathsEnabled -Value 1 -PropertyType DWORD -Force"
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
    python_outside_range,
    conda_sees_no_driver,
    conda_terms,
    conda_without_channels,
    conda_unsolvable,
    killed_while_installing,
    target_not_writable,
    path_too_long,
)
