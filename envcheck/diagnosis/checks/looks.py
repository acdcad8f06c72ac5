"""EC901 to EC905: how envcheck's own looks at the machine went."""

from collections.abc import Iterator, Sequence

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import look, sightings
from envcheck.model.facts import Observation, Sighting
from envcheck.model.report import Finding
from envcheck.model.text import say

_TARGET = "interpreter"
_SHOWN = 8


def _ended(case: Case, state: str) -> tuple[Observation, ...]:
    """Looks that ended so; what becomes of torch's import and of the interpreter has codes of its own."""
    return tuple(one for one in case.facts.observations if one.state == state and one.look != _TARGET)


def _names(looks: tuple[Observation, ...]) -> str:
    return ", ".join(one.look for one in looks)


@check(
    "EC905", "interpreter-silent", cause="interpreter_silent", explains=("EC901", "EC902", "EC903"), mutes=("EC300",)
)
def interpreter_silent(this: Check, case: Case) -> Iterator[Finding]:
    """The examined Python did not answer.

    What it means: envcheck started the interpreter that it was to examine, and got no description of it. Nothing is
    known about its packages and its torch.

    Common causes: a virtual environment whose base Python was removed or upgraded; an interpreter for another
    processor; a `sitecustomize.py` that fails or hangs.

    What to do: start it by hand and read what it says. An environment whose base is gone has to be made anew.
    """
    seen = case.facts.observation(_TARGET)
    if seen is None or seen.state not in ("failed", "timeout", "crashed"):
        return
    path = case.facts.python.path
    yield this.finding(
        say("The Python that was to be examined did not answer: {path}", path=path or "?"),
        evidence=(look(seen),),
        fixes=(
            remedies.command(
                case, say("Start it by hand"), remedies.python_of(case), "-c", "import sys; print(sys.version)"
            ),
            *remedies.report_it(case),
        ),
    )


@check("EC901", "look-timeout", severity="warning")
def look_timeout(this: Check, case: Case) -> Iterator[Finding]:
    """A look did not end in time.

    What it means: envcheck asked something of the machine, got no answer within its limit, and stopped asking. What
    that look would have told is unknown, and nothing is concluded from its silence.

    Common causes: a driver that hangs; a network file system; a machine under heavy load.

    What to do: run again with a longer `--deadline`. When it is the driver, see the kernel log.
    """
    found = _ended(case, "timeout")
    if found:
        yield this.finding(
            say("No answer in time from: {looks}", looks=_names(found)),
            evidence=tuple(look(one) for one in found[:_SHOWN]),
            fixes=(remedies.envcheck(case, say("Allow it more time"), "doctor", "--deadline", "120"),),
        )


@check("EC902", "look-crashed", severity="warning")
def look_crashed(this: Check, case: Case) -> Iterator[Finding]:
    """A look crashed.

    What it means: a library or program that envcheck asked ended the process that asked. envcheck itself goes on; what
    that look would have told is unknown.

    Common causes: a driver library that does not belong to the loaded driver; a damaged file; a fault in a library.

    What to do: see the evidence for the step at which it happened. Please report it when the machine is sound.
    """
    found = _ended(case, "crashed")
    if found:
        yield this.finding(
            say("Crashed while envcheck was looking: {looks}", looks=_names(found)),
            evidence=tuple(look(one) for one in found[:_SHOWN]),
            fixes=remedies.report_it(case),
        )


@check("EC903", "look-failed", severity="info")
def look_failed(this: Check, case: Case) -> Iterator[Finding]:
    """A look gave no usable answer.

    What it means: a file, a program or a library was there and its answer could not be understood, or it ended with
    an error. What that look would have told is unknown.

    Common causes: a program of an unknown version; a file without permission to read; an error that another finding
    explains.

    What to do: nothing when other looks gave the answer. Otherwise report it, so that envcheck learns to read it.
    """
    answered = {"torch", *(status.look for status in case.facts.nvidia.statuses)}
    found = tuple(one for one in _ended(case, "failed") if one.look not in answered)
    if found:
        yield this.finding(
            say("No usable answer from: {looks}", looks=_names(found)),
            evidence=tuple(look(one) for one in found[:_SHOWN]),
        )


_DECIDING = frozenset(
    {"torch.version", "torch.cuda", "torch.cuda_available", "python.version", "python.bits", "host.os", "host.machine"}
)
"""Facts of pasted text whose contradiction changes what follows."""


def _contested(case: Case) -> list[tuple[str, tuple[Sighting, ...]]]:
    """Facts that two looks of a live machine saw differently, or that stand differently in pasted text."""
    nvidia = case.facts.nvidia
    many = [("nvidia.driver_versions", nvidia.driver_versions), ("nvidia.library_versions", nvidia.library_versions)]
    single = [
        (path, seen) for path, seen in case.facts.sightings.items() if not path.startswith(("packages[", "nvidia."))
    ]
    if case.pasted:
        single = [
            (path, seen) for path, seen in single if path in _DECIDING and not _alike([one.value for one in seen])
        ]
    return [(path, seen) for path, seen in (*many, *single) if len({one.value for one in seen}) > 1]


def _alike(values: Sequence[str]) -> bool:
    """Whether all are one value, said more or less exactly: `2.1.0` and `2.1.0+cu118`, Python `3.10` and `3.10.12`."""
    longest = max(values, key=len)
    return all(longest == one or longest.startswith((f"{one}.", f"{one}+")) for one in values)


@check("EC904", "looks-disagree", severity="warning")
def looks_disagree(this: Check, case: Case) -> Iterator[Finding]:
    """Two looks saw different things.

    What it means: the same fact was read in two ways and differs. envcheck goes by the one that stands first in the
    evidence, and does not know which is right.

    Common causes: a driver that was upgraded and not loaded anew; a library of a container or toolkit in front of the
    driver's own; a text that was pasted together from two machines.

    What to do: see which of the two is meant. After an upgrade of the driver, restart.
    """
    found = _contested(case)
    for path, seen in found[:1]:
        yield this.finding(
            say("{fact} was seen as {values}", fact=path, values=" / ".join(dict.fromkeys(one.value for one in seen))),
            evidence=tuple(each for name, rows in found[:_SHOWN] for each in sightings(name, rows[:_SHOWN])),
            severity="info" if case.pasted else "warning",
        )


CHECKS = (
    interpreter_silent,
    look_timeout,
    look_crashed,
    look_failed,
    looks_disagree,
)
