"""EC103 to EC115: what kind of interpreter it is."""

from collections.abc import Iterator

from envcheck.catalogue.remedies import page
from envcheck.diagnosis import environments, remedies, unmet
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard, interpreter, spoken
from envcheck.model.report import Evidence, Finding
from envcheck.model.text import say
from envcheck.model.versions import at_least, minor, numbers


@check(
    "EC103",
    "python-32-bit",
    cause="python_32bit",
    hears=("unmet_torch", "wheel_of_other_platform"),
    needs=("python_bits",),
    explains=("EC101", "EC102", "EC300"),
)
def python_32_bit(this: Check, case: Case) -> Iterator[Finding]:
    """Python is a 32-bit program.

    What it means: torch is published for 64-bit Python only. A 32-bit interpreter sees no wheel of it: pip says
    "from versions: none", or lists nothing but 0.1.2.

    Common causes: on Windows the 32-bit installer of Python was taken; a 32-bit system runs on a small board.

    What to do: install the 64-bit Python, and make the environment anew with it.
    """
    reason = unmet.blamed(case, "python_32bit")
    refused = _refused(case)
    if case.facts.python.bits != 32 and reason is None and not refused:
        return
    told = (spoken(reason.unmet.message),) if reason else refused
    bits = (fact("python.bits", 32, case.facts.python.look),) if case.facts.python.bits == 32 else ()
    yield this.finding(
        say("Python is a 32-bit program, and torch is published for 64 bits only"),
        evidence=bits + told,
        fixes=environments.with_python_of(
            case,
            say("Install a 64-bit Python: {url}", url=page("python")),
            environments.of_newest_release(case.builds_here),
        ),
        confidence="certain" if bits else reason.confidence if reason else "possible",
    )


def _refused(case: Case) -> tuple[Evidence, ...]:
    """A 64-bit wheel for Windows and for this very Python that pip would not take."""
    if not case.pasted or case.facts.host.os not in ("windows", None) or case.facts.python.bits:
        return ()
    version = "".join((case.python_version or "").split(".")[:2])
    return tuple(
        spoken(message, groups)
        for message, groups in case.said("wheel_of_other_platform")
        if groups["platform"] == "win_amd64" and groups["python"] == f"cp{version}"
    )


@check(
    "EC106",
    "externally-managed-python",
    severity="info",
    cause="externally_managed",
    needs=("torch_installed",),
    hears=("externally_managed",),
)
def externally_managed(this: Check, case: Case) -> Iterator[Finding]:
    """The system's package manager owns this Python.

    What it means: pip refuses to install into an interpreter that is marked EXTERNALLY-MANAGED (PEP 668), since it
    would overwrite files of the system's packages.

    Common causes: the Python of Debian 12, Ubuntu 23.04, Fedora or Homebrew is used without a virtual environment.

    What to do: make a virtual environment and install torch there. Do not use --break-system-packages.
    """
    told = case.said("externally_managed")
    python = case.facts.python
    if not told and (case.torch_installed or not python.externally_managed or python.kind in ("venv", "conda", "uv")):
        return
    yield this.finding(
        say("The system owns this Python, so pip will not install torch into it"),
        evidence=heard(told) or (fact("python.externally_managed", True, python.look),),
        fixes=(
            *environments.own_environment(case),
            remedies.command(
                case,
                say("Install the build of torch that suits this machine"),
                *("envcheck", "install", "--python", environments.python_in(case)),
            ),
        ),
        severity="error" if told else "info",
    )


@check(
    "EC111",
    "emulated-python",
    severity="warning",
    cause="python_emulated",
    needs=("python_platform",),
    explains=("EC110", "EC416"),
)
def emulated_python(this: Check, case: Case) -> Iterator[Finding]:
    """Python is made for another processor than this machine's.

    What it means: the interpreter runs under emulation (Rosetta on Apple silicon, x64 emulation on Windows on Arm).
    Its packages are those of the emulated processor: they are slow, old, and see no Apple GPU.

    Common causes: a conda or Homebrew that was copied from an Intel Mac; an x86_64 installer on an Arm machine.

    What to do: install a Python for arm64 and make the environment anew.
    """
    platform = (case.python_platform or "").replace("_", "-")
    if case.facts.host.machine not in ("arm64", "aarch64") or not platform.endswith(("x86-64", "amd64")):
        return
    yield this.finding(
        say("Python is built for x86_64, but this machine's processor is {machine}", machine=case.facts.host.machine),
        evidence=(
            fact("python.platform", case.python_platform, case.facts.python.look),
            fact("host.machine", case.facts.host.machine, "host"),
        ),
        fixes=environments.with_python_of(
            case,
            say("Install a Python for {machine}: {url}", machine=case.facts.host.machine, url=page("python")),
            environments.of_newest_release(case.builds_here),
        ),
    )


@check(
    "EC112",
    "not-cpython",
    cause="python_not_cpython",
    needs=("python_implementation",),
    explains=("EC300", "EC31"),
)
def not_cpython(this: Check, case: Case) -> Iterator[Finding]:
    """This Python is not CPython.

    What it means: torch publishes wheels for CPython only. PyPy and others do not find one.

    Common causes: PyPy was chosen for its speed, or comes first on PATH.

    What to do: make an environment with CPython.
    """
    if case.python_implementation == "CPython" or case.torch_imported:
        return
    yield this.finding(
        say("torch has wheels for CPython only, and this is {name}", name=case.python_implementation),
        evidence=(fact("python.implementation", case.python_implementation, case.facts.python.look),),
        fixes=environments.other_python(case, environments.of_newest_release(case.builds_here)),
    )


@check(
    "EC113",
    "free-threaded-python",
    cause="python_free_threaded",
    needs=("free_threaded",),
    explains=("EC300", "EC31"),
)
def free_threaded_python(this: Check, case: Case) -> Iterator[Finding]:
    """No torch for this free-threaded Python.

    What it means: a free-threaded interpreter (3.13t, 3.14t) takes only wheels that were built for it, and torch
    has them for some versions and systems only.

    Common causes: the free-threaded interpreter was installed by mistake or out of curiosity.

    What to do: use the ordinary interpreter of the same version, or the free-threaded one that torch serves.
    """
    short = minor(case.facts.python.version or "") + "t"
    if not case.free_threaded or case.torch_imported or any(short in build.pythons for build in case.builds_here):
        return
    yield this.finding(
        say("No release of torch serves the free-threaded Python {version}", version=short),
        evidence=(interpreter(case.facts.python), fact("python.free_threaded", True, case.facts.python.look)),
        fixes=environments.other_python(case, environments.of_newest_release(case.builds_here)),
    )


@check("EC115", "python-holds-torch-back", severity="info", needs=("python_version",))
def python_holds_torch_back(this: Check, case: Case) -> Iterator[Finding]:
    """This Python or system gets only older releases of torch.

    What it means: torch can be installed here, but its newest releases have no wheels for this Python or this glibc.

    Common causes: a Python or a system that is some years old.

    What to do: nothing, as long as the older release serves you. Else make an environment with a newer Python, or
    update the system.
    """
    if case.torch_installed:
        return
    python = minor(case.facts.python.version or "") + ("t" if case.facts.python.free_threaded else "")
    served = [build for build in case.builds_here if python in build.pythons]
    libc = case.libc_version if case.libc == "glibc" else None
    fits = [build for build in served if build.libc is None or libc is None or at_least(libc, build.libc)]
    best = max((build.torch for build in fits), key=numbers, default=None)
    newest = max((build.torch for build in case.builds_here), key=numbers, default=None)
    if best is None or newest is None or best == newest:
        return
    held_by_python = not any(build.torch == newest for build in served)
    evidence = (
        interpreter(case.facts.python) if held_by_python else fact("python.libc_version", libc, case.facts.python.look)
    )
    wanted = environments.best_python([build for build in case.builds_here if build.torch == newest])
    yield this.finding(
        say(
            "The newest torch for this Python and system is {best}; the newest of all is {newest}",
            best=best,
            newest=newest,
        ),
        evidence=(evidence,),
        fixes=environments.new_environment(case, wanted) if held_by_python and wanted else (),
    )


CHECKS = (
    python_32_bit,
    emulated_python,
    not_cpython,
    free_threaded_python,
    externally_managed,
    python_holds_torch_back,
)
