"""EC311, EC313 to EC315, EC337 to EC343: the import of torch fails, and by what kind of failure."""

import re
from collections.abc import Iterator

from envcheck.catalogue.software import distribution_of
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard, look
from envcheck.model.facts import Observation
from envcheck.model.patterns import regex
from envcheck.model.report import Evidence, Finding, Fix
from envcheck.model.text import say

BROKEN = ("EC311", "EC313", "EC315", "EC401")
_CALLED_FIRST = "most recent call first"
_NO_MODULE = regex(r"No module named '?(?P<module>[\w.]{1,80})'?")


def _importing(case: Case, state: str) -> Observation | None:
    """The look at torch, when it ended in that state before the import was done."""
    seen = case.facts.observation("torch")
    if seen is None or seen.state != state or case.torch_imported is not None:
        return None
    return seen if seen.stage in (None, "import") and case.torch_installed is not False else None


def _stack(case: Case) -> tuple[Evidence, ...]:
    """Where it happened: the innermost frames of the Python stack, which faulthandler writes first."""
    told = case.facts.torch.error_traceback or ""
    frames = [line for line in map(str.strip, told.splitlines()) if line.startswith("File ") and "<frozen" not in line]
    innermost = frames[:2] if _CALLED_FIRST in told else frames[-2:]
    return tuple(fact("torch.error_traceback", line, "torch") for line in innermost)


@check("EC342", "dependency-missing", cause="torch_dependency_missing", explains=BROKEN, needs=("torch_imported",))
def dependency_missing(this: Check, case: Case) -> Iterator[Finding]:
    """A package that torch needs is not installed.

    What it means: the import of torch stopped at the import of another package, which torch lists among its
    requirements.

    Common causes: torch was installed with `--no-deps` or copied; an index that has only torch; a package that was
    removed together with another one.

    What to do: install the missing package, or install torch again with its requirements.
    """
    torch = case.facts.torch
    match = _NO_MODULE.search(torch.error_text or "")
    if (
        case.torch_imported is not False
        or match is None
        or torch.error_type not in ("ModuleNotFoundError", "ImportError")
    ):
        return
    module = match["module"].partition(".")[0]
    if module in ("torch", "_ssl", "_ctypes"):
        return
    name = distribution_of(module) or module
    yield this.finding(
        say("torch cannot be imported: the package {name} is missing", name=name),
        evidence=(fact("torch.error_text", torch.error_text, torch.look), *_stack(case)),
        fixes=(
            remedies.command(case, say("Install it"), *remedies.pip(case, "install", name)),
            *remedies.reinstall_torch(case, alternative=True),
        ),
    )


@check("EC337", "libstdcxx-too-old", cause="libstdcxx_too_old", explains=BROKEN, needs=("anything_said",))
def libstdcxx_too_old(this: Check, case: Case) -> Iterator[Finding]:
    """The C++ runtime that is loaded is too old.

    What it means: torch, or another compiled module, asks libstdc++ for a version that the loaded one does not
    have: an older libstdc++ was found first.

    Common causes: a conda environment whose own libstdc++ is older than the module; LD_LIBRARY_PATH with the
    libraries of another program; an old system.

    What to do: put a newer libstdc++ into the environment, or take the folder with the older one off
    LD_LIBRARY_PATH.
    """
    said = case.said("libstdcxx_too_old")
    if not said:
        return
    conda = case.facts.python.kind == "conda" or "conda" in said[0][0].text
    newer = remedies.command(
        case,
        say("Put a newer libstdc++ into the environment"),
        "conda",
        "install",
        "-y",
        "-c",
        "conda-forge",
        "libstdcxx-ng",
    )
    path = case.variable("LD_LIBRARY_PATH")
    yield this.finding(
        say("The C++ runtime lacks {version}", version=said[0][1].get("need", "a newer version")),
        evidence=(*heard(said, 1), *((fact("variables[LD_LIBRARY_PATH]", path, "environment"),) if path else ())),
        fixes=(
            *((newer,) if conda else ()),
            *((remedies.unset(case, "LD_LIBRARY_PATH", alternative=conda),) if path or not conda else ()),
        ),
    )


@check("EC338", "executable-stack", cause="executable_stack", explains=BROKEN, needs=("anything_said",))
def executable_stack(this: Check, case: Case) -> Iterator[Finding]:
    """The system refuses a library that asks for an executable stack.

    What it means: old builds of torch hold a library that is marked as needing an executable stack. New versions of
    glibc and hardened kernels refuse to load such a library.

    Common causes: an old release of torch on a new distribution; a hardened kernel or SELinux policy.

    What to do: install a newer release of torch. Where the old one is needed, clear the mark on the file with
    `patchelf --clear-execstack`.
    """
    said = case.said("executable_stack")
    if not said:
        return
    match = re.search(r"(\S+\.so[\w.]*): cannot enable executable stack", said[0][0].text)
    clear: tuple[Fix, ...] = ()
    if match:
        clear = (
            remedies.command(case, say("Clear the mark"), "patchelf", "--clear-execstack", match[1], alternative=True),
        )
    yield this.finding(
        say("The system refuses to load a library of torch that asks for an executable stack"),
        evidence=heard(said, 1),
        fixes=(*remedies.reinstall_torch(case), *clear),
    )


@check("EC339", "static-tls", cause="static_tls_exhausted", explains=BROKEN, needs=("anything_said",))
def static_tls(this: Check, case: Case) -> Iterator[Finding]:
    """A library was loaded too late to get its thread-local memory.

    What it means: the loader keeps a small block for libraries that want fixed thread-local memory, and it was used
    up before this library came.

    Common causes: scikit-learn, OpenCV or another package with its own OpenMP was imported before torch, mostly on
    aarch64 and on old versions of glibc.

    What to do: import torch first, or load the library that is named in the message with LD_PRELOAD.
    """
    said = case.said("static_tls")
    if not said:
        return
    library = said[0][1].get("library", "")
    preload: tuple[Fix, ...] = ()
    if library.startswith("/"):
        preload = (remedies.set_variable(case, "LD_PRELOAD", library, alternative=True),)
    yield this.finding(
        say("A library came too late for its thread-local memory"),
        evidence=heard(said, 1),
        fixes=(remedies.step(say("Put import torch before all other imports")), *preload),
    )


@check("EC340", "wrong-architecture", cause="wrong_architecture", explains=(*BROKEN, "EC331"), needs=("anything_said",))
def wrong_architecture(this: Check, case: Case) -> Iterator[Finding]:
    """A library was built for another processor.

    What it means: the interpreter and the compiled files of a package were made for different architectures, such
    as x86_64 and arm64, or 32 and 64 bits.

    Common causes: an Intel Python under Rosetta on a Mac with Apple silicon; packages copied from another machine;
    a 32-bit Python on Windows.

    What to do: make a new environment with an interpreter of the machine's own architecture and install again.
    """
    said = case.said("wrong_architecture")
    if not said:
        return
    groups = said[0][1]
    why = None
    if "have" in groups and "need" in groups:
        why = say("It was built for {have}, and the interpreter needs {need}", have=groups["have"], need=groups["need"])
    yield this.finding(
        say("A compiled file was built for another architecture than the interpreter"),
        why=why,
        evidence=heard(said, 1),
        fixes=remedies.reinstall_torch(case),
        confidence="certain" if "torch" in said[0][0].text else "likely",
    )


@check("EC341", "system-library-missing", cause="system_library_missing", explains=BROKEN, needs=("anything_said",))
def system_library_missing(this: Check, case: Case) -> Iterator[Finding]:
    """A library of the system that this torch needs is not there.

    What it means: this build of torch does not bring all libraries along and expects some of the system's.

    Common causes: a slim image without the C++ or OpenMP runtime; a wheel for Jetson without the packages that it
    wants; a system such as NixOS that keeps libraries elsewhere; a conda environment whose library was removed.

    What to do: install the package of the system that holds the library named in the message.
    """
    said = case.said("libstdcxx_missing")
    if not said:
        return
    yield this.finding(
        say("The system library {library} is missing", library=said[0][1].get("library", "?")),
        evidence=heard(said, 1),
        fixes=(
            remedies.step(
                say("Install the system's package that holds {library}", library=said[0][1].get("library", "?"))
            ),
        ),
    )


@check(
    "EC343",
    "paging-file-too-small",
    cause="paging_file_too_small",
    explains=(*BROKEN, "EC331"),
    needs=("anything_said",),
)
def paging_file_too_small(this: Check, case: Case) -> Iterator[Finding]:
    """Windows has too little memory to load the CUDA libraries.

    What it means: Windows reserves memory for every library that a process loads, for torch several gigabytes, and
    the paging file is too small for that.

    Common causes: many worker processes of a data loader, each of which imports torch; a paging file of a fixed,
    small size.

    What to do: let Windows manage the size of the paging file, or use fewer worker processes.
    """
    said = case.said("paging_file_too_small")
    if said:
        yield this.finding(
            say("The paging file of Windows is too small to load torch"),
            evidence=heard(said, 1),
            fixes=(
                remedies.step(say("In System, Advanced, Performance, Virtual memory: let Windows manage the size")),
                remedies.step(say("Use fewer worker processes (num_workers) in the data loader"), alternative=True),
            ),
        )


_BY_SIGNAL = {
    "SIGKILL": say("The system ended the process, most often for want of memory"),
    "SIGABRT": say("A library of torch stopped the process by itself"),
    "SIGBUS": say("A file of torch that was being read is damaged, or its disk did not answer"),
}


@check(
    "EC313",
    "import-crash",
    cause="torch_import_crash",
    explains=("EC902", "EC401"),
    needs=("torch_look",),
    hears=("segmentation_fault",),
)
def import_crash(this: Check, case: Case) -> Iterator[Finding]:
    """The import of torch ends the process.

    What it means: the interpreter did not raise an error, it was killed while it imported torch.

    Common causes: libraries of two installations that meet in one process; damaged files; a build for a processor
    with other instructions; a limit on memory.

    What to do: look at the Python stack that envcheck kept, and install torch anew into a fresh environment.
    """
    seen = _importing(case, "crashed")
    said = case.said("segmentation_fault") if seen is None and case.torch_imported is None else ()
    if not said and (seen is None or seen.signal is None):
        return
    signal = (seen.signal if seen else None) or "SIGSEGV"
    yield this.finding(
        say("The import of torch ended the process with {signal}", signal=signal),
        why=_BY_SIGNAL.get(signal),
        evidence=((look(seen),) if seen else heard(said, 1)) + _stack(case),
        fixes=(*remedies.reinstall_torch(case), *remedies.report_it(case)),
    )


@check("EC314", "import-timeout", cause="torch_import_timeout", explains=("EC901", "EC401"), needs=("torch_look",))
def import_timeout(this: Check, case: Case) -> Iterator[Finding]:
    """The import of torch did not end in time.

    What it means: envcheck stopped waiting. Whether the import would have ended is not known.

    Common causes: a network file system that holds the environment; an antivirus program that reads every file; a
    driver that hangs; an import lock in a startup file.

    What to do: try again with a longer `--deadline`. When it hangs for good, the Python stack shows where.
    """
    seen = _importing(case, "timeout")
    if seen is not None:
        yield this.finding(
            say("The import of torch did not end within the time allowed"),
            evidence=(look(seen), *_stack(case)),
            fixes=(
                remedies.envcheck(case, say("Allow it more time"), "doctor", "--deadline", "120"),
                *remedies.report_it(case),
            ),
            confidence="likely",
        )


@check(
    "EC315",
    "import-exit",
    cause="torch_import_exit",
    explains=("EC311", "EC902", "EC903", "EC401"),
    needs=("torch_look",),
)
def import_exit(this: Check, case: Case) -> Iterator[Finding]:
    """Something ends the process during the import of torch.

    What it means: the interpreter left by itself, without an error, while it imported torch.

    Common causes: a `sitecustomize.py`, a `.pth` file or a module of the same name that calls `exit()`; a library
    that calls `exit` when it dislikes the machine.

    What to do: look at the Python stack and at startup files of the environment.
    """
    seen = _importing(case, "crashed")
    exited = case.facts.torch.error_type == "SystemExit" and case.torch_imported is False
    if not exited and (seen is None or seen.signal is not None):
        return
    code = (case.facts.torch.error_text or "0") if exited else seen.returncode if seen else None
    yield this.finding(
        say("The process ended by itself during the import of torch, with code {code}", code=code),
        evidence=(*((look(seen),) if seen else ()), *_stack(case)),
        fixes=(
            remedies.command(
                case,
                say("Follow the imports; the last line names the module that ends the process"),
                *(remedies.python_of(case), "-X", "importtime", "-c", "import torch"),
            ),
            *remedies.reinstall_torch(case, alternative=True),
        ),
        confidence="likely",
    )


@check("EC311", "import-error", cause="torch_import_error", explains=("EC401",), needs=("torch_imported",))
def import_error(this: Check, case: Case) -> Iterator[Finding]:
    """The import of torch raises an error.

    What it means: torch is installed and cannot be imported. When no other finding explains it, envcheck does not know
    the message.

    Common causes: a library that is missing or of another version; files of two releases mixed; an interpreter that
    the build was not made for.

    What to do: read the last line of the error. Installing torch anew into a fresh environment mends most of these.
    """
    torch = case.facts.torch
    absent = case.torch_installed is False or (case.torch_installed is None and case.said("no_module_torch"))
    if case.torch_imported is not False or absent:
        return
    words = f"{torch.error_type}: {torch.error_text}" if torch.error_type else torch.error_text
    if words is None and case.pasted:
        return
    yield this.finding(
        say("torch is installed and cannot be imported"),
        evidence=(*((fact("torch.error_text", words, torch.look),) if words else ()), *_stack(case)),
        fixes=(*remedies.reinstall_torch(case), *remedies.report_it(case)),
        confidence="certain" if words else "likely",
    )


CHECKS = (
    dependency_missing,
    libstdcxx_too_old,
    executable_stack,
    static_tls,
    wrong_architecture,
    system_library_missing,
    paging_file_too_small,
    import_crash,
    import_timeout,
    import_exit,
    import_error,
)
