"""EC613, EC615, EC620, EC621, EC344: whether there is room for packages, and which Python has or gets them."""

import re
from collections.abc import Iterator

from envcheck.catalogue.software import limit, page
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.route import forget, rows, setting
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.machine import Said
from envcheck.diagnosis.torch_build import nvidia_seen
from envcheck.model.facts import Disk
from envcheck.model.report import Finding, Fix
from envcheck.model.text import say

_GIB = 1 << 30


def _installs(case: Case) -> bool:
    """Whether somebody is about to install torch here: it is missing, or does not work."""
    return case.torch_installed is False or case.torch_imported is False


@check("EC613", "disk-nearly-full", severity="info", cause="no_space", needs=("disks",))
def disk_nearly_full(this: Check, case: Case) -> Iterator[Finding]:
    """There is little free space where torch would be installed.

    What it means: a CUDA build, its libraries and their unpacking need several gigabytes, in the environment, in
    the temporary folder and in the cache of the installer.

    Common causes: a small root partition or a small `/tmp` in memory; a full home quota.

    What to do: make room, or point TMPDIR and the cache to a larger disk.
    """
    gpu = nvidia_seen(case) is not None
    needed = {
        "target": limit("install_gib_cuda" if gpu else "install_gib_cpu"),
        "temp": limit("temp_gib"),
        "cache": limit("temp_gib"),
    }
    disks = [one for one in case.facts.host.disks or () if one.role in needed]
    short = [one for one in disks if one.free_bytes < float(needed[one.role]) * _GIB]
    for one in short[:1]:
        yield this.finding(
            say(
                "{free} GiB are free at {path}, and installing torch needs about {needed}",
                free=f"{one.free_bytes / _GIB:.1f}",
                path=one.path,
                needed=needed[one.role],
            ),
            evidence=tuple(
                fact(f"host.disks[{each.role}]", f"{each.path} {each.free_bytes}", "files") for each in short
            ),
            fixes=_make_room(case, one),
            severity="warning" if _installs(case) else "info",
        )


def _make_room(case: Case, disk: Disk) -> tuple[Fix, ...]:
    if disk.role == "temp" and case.facts.host.os != "windows":
        return (remedies.step(say("Point TMPDIR to a folder on a larger disk before installing")),)
    if disk.role == "cache":
        return (remedies.command(case, say("Empty the cache of pip"), *remedies.pip(case, "cache", "purge")),)
    return (remedies.step(say("Make room on that disk, or make the environment on another one")),)


@check("EC615", "pip-of-another-python", severity="info", cause="other_interpreter", needs=("pip_python",))
def pip_of_another_python(this: Check, case: Case) -> Iterator[Finding]:
    """`pip` on PATH belongs to another Python.

    What it means: `pip install` puts packages into another interpreter than the one that was examined.

    Common causes: several Pythons; an environment that is not activated; a shell that remembers an old path.

    What to do: use `python -m pip`, which always means the interpreter in front of it.
    """
    python = case.facts.python
    if not python.pip_python or not python.path or _same_file(python.pip_python, python.path):
        return
    prefix = (python.prefix or "").rstrip("/\\")
    if prefix and python.pip_python.startswith((prefix + "/", prefix + "\\")):
        return
    yield this.finding(
        say("pip on PATH installs into {python}", python=python.pip_python),
        evidence=(
            fact("python.pip_python", python.pip_python, "interpreter"),
            fact("python.path", python.path, "interpreter"),
        ),
        fixes=(remedies.command(case, say("Use this pip"), *remedies.pip(case, "--version")),),
        severity="warning" if case.torch_installed is False and python.chosen_by != "--python" else "info",
    )


def _same_file(one: str, other: str) -> bool:
    """Whether two paths name the interpreters of one folder (`python`, `python3`, `python3.11`)."""
    return re.sub(r"[\d.]*(?:\.exe)?$", "", one.casefold()) == re.sub(r"[\d.]*(?:\.exe)?$", "", other.casefold())


@check("EC620", "installs-elsewhere", severity="info", needs=("settings",))
def installs_elsewhere(this: Check, case: Case) -> Iterator[Finding]:
    """Pip is told to install into another folder.

    What it means: a setting sends every package to one folder, whichever interpreter pip belongs to.

    Common causes: `target` or `prefix` in pip.conf, or PIP_TARGET and PIP_PREFIX, set for one project and left.

    What to do: remove the setting, and install torch again.
    """
    found = rows(case, "pip", "target", "prefix")
    for one in found[:1]:
        yield this.finding(
            say("pip installs into {folder}, whichever Python it belongs to", folder=one.value),
            evidence=tuple(setting(each) for each in found),
            fixes=(forget(case, one),),
            severity="warning" if case.torch_installed is False else "info",
        )


@check("EC621", "pip-missing", severity="info", needs=("has_pip",), hears=("no_pip",))
def pip_missing(this: Check, case: Case) -> Iterator[Finding]:
    """This Python has no pip.

    What it means: `python -m pip` does not work here. Environments that uv makes have none, which is meant.

    Common causes: an environment made by uv; a system that packages pip apart; an embedded Python.

    What to do: use `uv pip`, or bring pip in with `python -m ensurepip`.
    """
    said = case.said("no_pip")
    python = case.facts.python
    if not said and not (python.has_pip is False and python.kind != "uv" and _installs(case)):
        return
    yield this.finding(
        say("This Python has no pip"),
        evidence=heard(said, 1) or (fact("python.has_pip", "False", "interpreter"),),
        fixes=(
            remedies.command(case, say("Bring pip in"), remedies.python_of(case), "-m", "ensurepip", "--upgrade"),
            remedies.step(say("Other ways to get pip: {url}", url=page("get_pip")), alternative=True),
        ),
        severity="warning" if said else "info",
    )


@check(
    "EC344",
    "works-in-one",
    severity="warning",
    cause="healthy_here_other_interpreter_elsewhere",
    needs=("cuda_available",),
    hears=("not_compiled_with_cuda", "no_module_torch"),
    explains=("EC300", "EC309", "EC301", "EC321", "EC322", "EC323"),
)
def works_in_one(this: Check, case: Case) -> Iterator[Finding]:
    """CUDA works in one interpreter and not in another.

    What it means: what was shown says both that `torch.cuda.is_available()` is True and that it is False. The
    machine and one environment are fine; the other answer comes from another interpreter or other variables.

    Common causes: the program runs in an editor, a service or a notebook whose interpreter or environment variables
    differ from those of the terminal.

    What to do: print `sys.executable`, `torch.__file__` and `CUDA_VISIBLE_DEVICES` in both places and compare.
    """
    answers = case.facts.sightings.get("torch.cuda_available", ())
    elsewhere = _fails_elsewhere(case)
    if {one.value for one in answers} != {"True", "False"} and not elsewhere:
        return
    if _lost_cuda(case):
        return
    code = "import os, sys, torch; print(sys.executable, torch.__file__, os.environ.get('CUDA_VISIBLE_DEVICES'))"
    yield this.finding(
        say("CUDA works in one place and not in the other"),
        evidence=(
            *(fact("torch.cuda_available", one.value, one.look, one.where) for one in answers),
            *heard(elsewhere, 1),
        ),
        fixes=(remedies.command(case, say("Run this in both places and compare"), "python", "-c", code),),
        severity="error" if elsewhere else "warning",
        confidence="likely" if elsewhere else "possible",
    )


def _only_asked(case: Case) -> bool:
    """Whether nothing but the answer of `torch.cuda.is_available()` speaks for CUDA."""
    return any("cuda.is_available()" in one.text for one in case.facts.messages) and not any(
        "device='cuda" in one.text for one in case.facts.messages
    )


def _lost_cuda(case: Case) -> bool:
    """A build with CUDA was there, and one without it came in its place."""
    versions = case.facts.sightings.get("torch.version", ())
    return (case.torch_version or "").endswith("+cpu") and any("+cu" in one.value for one in versions)


def _fails_elsewhere(case: Case) -> Said:
    """A text that shows CUDA at work, and a program whose torch has none or is not there."""
    if not case.pasted:
        return ()
    cards = case.facts.sightings.get("nvidia.gpus", ())
    works = case.cuda_available or (case.build_kind == "cuda" and case.facts.torch.imported and bool(cards))
    if case.cuda_available and not (cards or case.torch_version or case.listed) and _only_asked(case):
        return ()  # what answered is not known: which Python the program runs is the question
    missed = case.said("not_compiled_with_cuda") or case.said("no_module_torch")
    return missed if works and not case.said("build_isolation") else ()


CHECKS = (
    disk_nearly_full,
    pip_of_another_python,
    installs_elsewhere,
    pip_missing,
    works_in_one,
)
