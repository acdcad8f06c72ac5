"""What would mend it, where pasted text does not tell the machine: a command for each machine that it may be."""

from collections.abc import Iterator

import msgspec

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.model.facts import Facts, Sighting
from envcheck.model.plan import Build, Plan
from envcheck.model.report import Fix
from envcheck.model.text import Text, say
from envcheck.model.versions import numbers

_MACHINES = (("linux", "x86_64", "Linux x86_64"), ("windows", "x86_64", "Windows"))
"""The machines that threads are about; another one is named in the text."""


def conditional(case: Case) -> tuple[Fix, ...]:
    """A way for each machine that the text leaves open, then the step that needs no guess.

    With an NVIDIA GPU the oldest family of builds that has kernels for it is named, too.
    """
    ways = [fix for system in _MACHINES for fix in _on(case, *system)] if case.cards else []
    marked = [msgspec.structs.replace(fix, alternative=number > 0) for number, fix in enumerate(ways)]
    itself = say("On the machine itself, let envcheck choose the build")
    look = remedies.command(case, itself, "envcheck", "install", "--dry-run")
    oldest = _oldest_family(case)
    return (
        *((Fix(what=oldest),) if oldest else ()),
        *marked,
        msgspec.structs.replace(look, alternative=bool(ways)),
    )


def _on(case: Case, os: str, machine: str, called: str) -> Iterator[Fix]:
    """The command on one such machine, with what else it takes for granted."""
    host = case.facts.host
    if host.os not in (None, os) or host.machine not in (None, machine):
        return
    assumed, python = _assume(case, os, machine)
    plan = case.advise(assumed)
    if plan is None or plan.build is None or plan.build.cuda is None:
        return
    driver = case.catalogue.minimum_driver(plan.build.cuda, os) or "?"
    what = say(
        "On {system} with Python {python} and an NVIDIA driver of version {driver} or newer",
        system=called,
        python=python,
        driver=driver,
    )
    yield from (msgspec.structs.replace(fix, what=what) for fix in _commands(case, plan)[:1])


def _commands(case: Case, plan: Plan) -> list[Fix]:
    return [fix for fix in case.commands(plan) if (fix.shell or fix.argv) and "torch==" in f"{fix.shell} {fix.argv}"]


def _assume(case: Case, os: str, machine: str) -> tuple[Facts, str]:
    """The facts with a usual Python, and with a driver that no build is too new for, where neither is known."""
    facts = case.facts
    builds = [one for one in case.catalogue.builds() if (one.os, one.machine) == (os, machine) and one.cuda]
    pythons = {name for one in builds[:40] for name in one.pythons if not name.endswith("t")}
    python = facts.python.version or sorted(pythons, key=numbers)[len(pythons) // 2]
    newest = max((one.cuda or "0" for one in builds), key=numbers)
    driver = Sighting(value=case.catalogue.minimum_driver(newest, os) or "999.0", look="assumed")
    nvidia = facts.nvidia
    if not nvidia.driver_versions and not nvidia.cuda_versions:
        nvidia = msgspec.structs.replace(nvidia, driver_versions=(driver,))
    host = msgspec.structs.replace(facts.host, os=os, machine=machine, libc=facts.host.libc or "glibc")
    seen = msgspec.structs.replace(facts.python, version=python, bits=64)
    return msgspec.structs.replace(facts, host=host, python=seen, nvidia=nvidia), ".".join(python.split(".")[:2])


def _has_code(case: Case, build: Build, capability: str) -> bool:
    """Whether a build holds machine code for it: PTX alone would be compiled at the first start, and often fails."""
    code = (kernel for kernel in build.capabilities if not kernel.startswith("compute_"))
    return any(case.catalogue.runs(kernel, capability) for kernel in code)


def _oldest_family(case: Case) -> Text | None:
    """Which family of CUDA builds was the first with kernels for the GPU that is named."""
    card = next((card for card in case.cards if card.capability), None)
    if card is None or card.capability is None:
        return None
    rows = [one for one in case.builds_here if one.cuda and one.channel == "wheel"]
    served = [one for one in rows if _has_code(case, one, card.capability)]
    first = min(served, key=lambda one: (numbers(one.torch), numbers(one.cuda or "0")), default=None)
    last = max(served, key=lambda one: (numbers(one.torch), numbers(one.cuda or "0")), default=None)
    if first is None or last is None:
        return None
    return say(
        "Builds with kernels for {gpu} (compute capability {capability}): from torch {first} with CUDA {first_cuda}"
        " to torch {last} with CUDA {last_cuda}",
        gpu=card.name,
        capability=card.capability,
        first=first.torch,
        first_cuda=first.cuda,
        last=last.torch,
        last_cuda=last.cuda,
    )
