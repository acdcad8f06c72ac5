"""EC101, EC102: the wanted torch has no wheel for this Python."""

import re
from collections.abc import Iterator

from envcheck.diagnosis import environments, unmet
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import interpreter, spoken
from envcheck.model.facts import Message
from envcheck.model.patterns import regex
from envcheck.model.report import Finding
from envcheck.model.text import Text, say
from envcheck.model.versions import minor, numbers

_PINNED = regex(r"\bpip3?(?:\.\d+)?\s+install\b.{0,300}?\btorch==(?P<version>\d{1,2}\.\d{1,2}\.\d{1,2})(?![\w.])")
_FAILED = regex(r"[Cc]ouldn't install torch|\bRuntimeError\b|\bERROR\b|exit (?:code|status) [1-9]")


def _or_32_bit(case: Case, reason: unmet.Reason) -> Text:
    """What is the matter; an empty list has a second explanation, which one command tells apart."""
    if reason.confidence != "possible" or case.facts.python.bits or reason.unmet.variants:
        return say("the installer found no wheel of that release for this Python")
    return say(
        "the installer found no wheel for this Python at all. A 32-bit Python gets the same answer: {command} tells",
        command='python -c "import sys; print(sys.version)"',
    )


def _outside(case: Case) -> int:
    """-1 when this Python is older than any that an official wheel of torch serves here, 1 when newer, else 0."""
    version = case.facts.python.version
    served = {python for build in case.builds_here for python in build.pythons}
    known = [numbers(python) for python in served if not python.endswith("t")]
    if version is None or not known:
        return 0
    have = numbers(version)[:2]
    return -1 if have < min(known) else 1 if have > max(known) else 0


@check(
    "EC101",
    "python-too-old",
    cause="python_too_old",
    needs=("python_version",),
    hears=("unmet_torch", "wheels_for_pythons", "python_of_newer_code", "conda_python", "conda_python_need"),
    explains=("EC300",),
)
def python_too_old(this: Check, case: Case) -> Iterator[Finding]:
    """Python is too old for torch.

    What it means: the wanted release of torch has no wheel for this version of Python; pip then lists only older
    releases, or none at all.

    Common causes: the system's own Python is some years old; a new release of torch dropped that Python.

    What to do: make an environment with a newer Python and install torch there. If the old Python must stay,
    install the newest release of torch that still serves it.
    """
    reason = unmet.blamed(case, "python_too_old")
    if reason is not None:
        yield this.finding(
            say("Python is too old for {torch}", torch=reason.wish),
            why=say("the installer was offered only older releases: the newer ones serve newer Pythons"),
            evidence=(spoken(reason.unmet.message),),
            fixes=environments.other_python(case, [reason.build] if reason.build else [], torch=reason.unmet.asked),
            confidence=reason.confidence,
        )
        return
    for message, served, have in _pythons_of_conda(case):
        if numbers(have)[:2] < min(served):
            yield this.finding(
                say("Python is too old for {torch}", torch="pytorch"),
                why=say("the installer found no wheel of that release for this Python"),
                evidence=(spoken(message, {"have": f"python={have}"}),),
                fixes=environments.new_environment(case, ".".join(str(part) for part in max(served))),
                confidence="likely",
            )
            return
    for message, groups in case.said("python_of_newer_code"):
        here = case.facts.python.version
        yield this.finding(
            say("The program is written for a newer Python than {version}", version=minor(here))
            if here
            else say("The program is written for a newer Python"),
            evidence=(spoken(message, groups), *((interpreter(case.facts.python),) if here else ())),
            fixes=environments.other_python(case, environments.of_newest_release(case.builds_here)),
            confidence="likely",
        )
        return
    for message, groups in case.said("wheels_for_pythons"):
        tags = _tags(groups)
        if tags and numbers(groups.get("python", "99")) < min(tags):
            torch = f"{groups.get('name', 'torch')} {groups.get('version', '')}"
            yield this.finding(
                say("Python is too old for {torch}", torch=torch),
                why=say("the installer found no wheel of that release for this Python"),
                evidence=(spoken(message, groups),),
                fixes=environments.new_environment(case, ".".join(str(part) for part in max(tags))),
            )
            return
    if not case.torch_imported and _outside(case) < 0:
        yield this.finding(
            say("No release of torch serves Python {version}", version=minor(case.facts.python.version or "")),
            evidence=(interpreter(case.facts.python),),
            fixes=environments.other_python(case, environments.of_newest_release(case.builds_here)),
        )


@check(
    "EC102",
    "python-too-new",
    cause="python_too_new",
    needs=("python_version",),
    explains=("EC300",),
    hears=(
        "unmet_torch",
        "unmet_other",
        "wheels_for_pythons",
        "wheel_of_other_platform",
        "conda_python",
        "conda_python_need",
        "conda_reads_3_10",
        "uv_no_wheel_here",
    ),
)
def python_too_new(this: Check, case: Case) -> Iterator[Finding]:
    """Python is too new for the wanted torch.

    What it means: the wanted release of torch was published before this version of Python, so there is no wheel for
    it. pip says "from versions: none", or lists only releases newer than the one that was asked for.

    Common causes: a new Python came with a system update or a fresh installer; a project pins an old torch.

    What to do: make an environment with a Python that the release serves, or take a newer release of torch.
    """
    reason = unmet.blamed(case, "python_too_new")
    if reason is not None:
        yield this.finding(
            say("Python is too new for {torch}", torch=reason.wish),
            why=_or_32_bit(case, reason),
            evidence=(
                spoken(reason.unmet.message),
                *((interpreter(case.facts.python),) if case.facts.python.version else ()),
            ),
            fixes=environments.other_python(case, [reason.build] if reason.build else [], torch=reason.unmet.asked),
            confidence=reason.confidence,
        )
        return
    yield from _said_by_uv(this, case)
    yield from _no_wheel_of_uv(this, case)
    yield from _said_by_conda(this, case)
    yield from _wheel_of_older_python(this, case)
    yield from _other_starts_later(this, case)
    yield from _pinned_for_older(this, case)
    if not case.torch_imported and _outside(case) > 0 and not case.facts.python.free_threaded:
        yield this.finding(
            say(
                "No known release of torch serves Python {version} yet", version=minor(case.facts.python.version or "")
            ),
            evidence=(interpreter(case.facts.python),),
            fixes=environments.other_python(case, environments.of_newest_release(case.builds_here)),
            confidence="likely",
        )


def _pinned_for_older(this: Check, case: Case) -> Iterator[Finding]:
    """A command pins a release that has wheels for older Pythons only, and it failed without saying why."""
    version = numbers(case.python_version or "")[:2]
    if not case.pasted or not version or case.torch_version or case.cuda_available is not None:
        return
    for message in case.facts.messages:
        found = _PINNED.search(message.text)
        rows = [one for one in case.builds_here if found and one.torch == found["version"] and one.pythons]
        served = [numbers(python) for one in rows for python in one.pythons if python[-1] != "t"]
        if found and served and version > max(served):
            yield this.finding(
                say("Python is too new for {torch}", torch=f"torch {found['version']}"),
                evidence=(spoken(message, {"": found[0]}), interpreter(case.facts.python)),
                fixes=environments.other_python(case, rows[:1]),
                confidence="likely" if _FAILED.search(message.text) else "possible",
            )
            return


def _pythons_of_conda(case: Case) -> Iterator[tuple[Message, list[tuple[int, ...]], str]]:
    """What conda says of pytorch's builds: the Pythons that they need, and the one that is there."""
    for message, groups in (*case.said("conda_python"), *case.said("conda_python_need")):
        served = [numbers(text) for text in re.findall(r">=(\d\.\d{1,2})", groups["need"])]
        have = groups.get("have") or case.facts.python.version
        if served and have:
            yield message, served, have


def _other_starts_later(this: Check, case: Case) -> Iterator[Finding]:
    """Of a package beside torch pip lists only releases newer than the one that was asked for."""
    for message, groups in case.said("unmet_other"):
        offered = [numbers(word) for word in re.split(r"[,\s]+", groups["versions"]) if word[:1].isdigit()]
        if offered and numbers(groups["wanted"]) < min(offered):
            yield this.finding(
                say("Python is too new for {torch}", torch=f"{groups['name']}{groups['relation']}{groups['wanted']}"),
                why=say("the installer found no wheel of that release for this Python"),
                evidence=(spoken(message), *((interpreter(case.facts.python),) if case.facts.python.version else ())),
                fixes=environments.other_python(case, environments.of_newest_release(case.builds_here)),
                confidence="likely",
            )
            return


def _said_by_conda(this: Check, case: Case) -> Iterator[Finding]:
    """Conda names the Pythons that its builds of pytorch need, and the one that is there."""
    for message, _ in case.said("conda_reads_3_10"):
        yield this.finding(
            say("This conda is older than Python 3.10 and takes it for 3.1"),
            evidence=(spoken(message),),
            fixes=environments.new_environment(case, "3.9"),
            confidence="likely",
        )
        return
    for message, served, have in _pythons_of_conda(case):
        if numbers(have)[:2] > max(served):
            yield this.finding(
                say("Python is too new for {torch}", torch="pytorch"),
                why=say("the installer found no wheel of that release for this Python"),
                evidence=(spoken(message, {"have": f"python={have}"}),),
                fixes=environments.new_environment(case, ".".join(str(part) for part in max(served))),
                confidence="likely",
            )
            return


def _said_by_uv(this: Check, case: Case) -> Iterator[Finding]:
    bare = [(message, groups) for message, groups in case.said("wheels_for_pythons") if "tags" not in groups]
    for message, groups in bare[:1]:
        tag = groups.get("tag") or ""
        rows = [build for build in case.builds_here if numbers(build.torch) == numbers(groups.get("version", "0"))]
        served = [numbers(python) for build in rows for python in build.pythons if not python.endswith("t")]
        here = numbers(f"{tag[0]}.{tag[1:].rstrip('t')}") if tag else numbers(case.python_version or "")
        if not here or not served or here > max(served):
            yield this.finding(
                say("Python is too new for {torch}", torch="torch " + groups.get("version", "")),
                why=say("the installer found no wheel of that release for this Python"),
                evidence=(spoken(message, groups),),
                fixes=environments.other_python(case, rows[:1]),
                confidence="certain" if here and served else "likely",
            )
    for message, groups in case.said("wheels_for_pythons"):
        python = groups.get("python")
        tags = _tags(groups)
        if python and tags and numbers(python) > max(tags):
            yield this.finding(
                say(
                    "Python is too new for {torch}", torch=f"{groups.get('name', 'torch')} {groups.get('version', '')}"
                ),
                why=say("the installer found no wheel of that release for this Python"),
                evidence=(spoken(message, groups),),
                fixes=environments.new_environment(case, ".".join(str(part) for part in max(tags))),
            )
            return


def _no_wheel_of_uv(this: Check, case: Case) -> Iterator[Finding]:
    """Uv finds no wheel for this platform, and the release served this Python on some systems only, or on none."""
    version = case.python_version
    for message, groups in case.said("uv_no_wheel_here") if version else ():
        rows = [one for one in case.builds_here if numbers(one.torch) == numbers(groups["version"].partition("+")[0])]
        newest = {
            os: max(numbers(python) for one in rows for python in one.pythons if one.os == os and python[-1] != "t")
            for os in {one.os for one in rows if one.pythons}
        }
        behind = [os for os, python in newest.items() if numbers(version or "")[:2] > python]
        if behind:
            yield this.finding(
                say("Python is too new for {torch}", torch="torch " + groups["version"]),
                why=say("the installer found no wheel of that release for this Python"),
                evidence=(spoken(message, groups), interpreter(case.facts.python)),
                fixes=environments.other_python(case, rows[:1]),
                confidence="likely" if len(behind) == len(newest) else "possible",
            )
            return


def _tags(groups: dict[str, str]) -> list[tuple[int, ...]]:
    """Versions of Python of the tags that uv lists."""
    words = groups.get("tags", "").replace("`", " ").replace(",", " ").split()
    return [numbers(tag.rstrip("t").replace("cp3", "3.")) for tag in words if tag.startswith("cp3")]


def _wheel_of_older_python(this: Check, case: Case) -> Iterator[Finding]:
    version = case.facts.python.version
    for message, groups in case.said("wheel_of_other_platform"):
        made_for = f"3.{groups['python'][3:]}"
        if version and numbers(version)[:2] > numbers(made_for):
            yield this.finding(
                say("The wheel is for Python {wheel}, the interpreter is {version}", wheel=made_for, version=version),
                evidence=(spoken(message, groups), interpreter(case.facts.python)),
                fixes=environments.new_environment(case, made_for),
            )
            return


CHECKS = (python_too_old, python_too_new)
