"""The build that is right for a machine, and why no other is: `resolve(facts, catalogue, wish) -> Plan`.

A build is right when no rule drops it (`rules`). The newest right release wins; among its variants the one whose
kernels need no compiling, then the newest toolkit that the driver speaks itself, then the oldest of the others.
"""

from collections.abc import Iterable
from functools import lru_cache

from envcheck.catalogue import Catalogue
from envcheck.model.facts import Facts
from envcheck.model.plan import Build, Plan, Rejection, Wish
from envcheck.model.text import Text, say
from envcheck.model.versions import numbers
from envcheck.recommend.rules import Judge, kind_of
from envcheck.recommend.target import Accelerator, Target, target_of


def resolve(facts: Facts, catalogue: Catalogue, wish: Wish | None = None) -> Plan:
    """The plan for the machine that `facts` describe.

    Raises:
        EnvcheckError: a specifier of the wish cannot be read.
    """
    return plan_for(target_of(facts, catalogue), catalogue, wish or Wish())


def plan_for(target: Target, catalogue: Catalogue, wish: Wish) -> Plan:
    """The plan for a target."""
    from envcheck.recommend import advice

    judge = Judge(target, catalogue, wish)
    builds = candidates(catalogue, wish)
    verdicts = [(build, tuple(judge.objections(build))) for build in builds]
    right = ranked([build for build, against in verdicts if not against], judge)
    chosen = right[0] if right else None
    rejected = tuple(
        Rejection(build=build, rule=against[0][0], reason=against[0][1])
        if against
        else Rejection(build=build, rule=_later_rule(build, chosen), reason=_later_reason(build, chosen))
        for build, against in verdicts
        if build is not chosen
    )
    if chosen is None:
        return Plan(
            build=None,
            reason=advice.why_nothing(target),
            rejected=rejected,
            notes=target.notes,
            nearest=advice.nearest(judge, catalogue, verdicts),
        )
    return Plan(
        build=chosen,
        reason=advice.why(chosen, judge),
        rejected=rejected,
        notes=target.notes + advice.notes(chosen, judge, catalogue, verdicts),
    )


def best(target: Target, catalogue: Catalogue, wish: Wish) -> Build | None:
    """The build of `plan_for` alone, without the reasons: the look stops at the first release that has one."""
    judge = Judge(target, catalogue, wish)
    pools = _pools(catalogue, wish.conda).get((target.os, target.machine), {})
    for kind in sorted(pools, key=lambda kind: _preference(kind, target)):
        right: list[Build] = []
        for build in pools[kind]:
            if right and build.torch != right[0].torch:
                break
            if judge.right(build):
                right.append(build)
        if right:
            return ranked(right, judge)[0]
    return None


Pools = dict[tuple[str | None, str | None], dict[Accelerator | None, list[Build]]]


@lru_cache(maxsize=4)
def _pools(catalogue: Catalogue, conda: bool) -> Pools:
    """What there is to choose from, newest first, by system and by accelerator."""
    pools: Pools = {}
    for build in candidates(catalogue, Wish(conda=conda)):
        pools.setdefault((build.os, build.machine), {}).setdefault(kind_of(build), []).append(build)
    return pools


def candidates(catalogue: Catalogue, wish: Wish) -> tuple[Build, ...]:
    """What there is to choose from."""
    return catalogue.conda_builds() if wish.conda else catalogue.builds()


def ranked(right: Iterable[Build], judge: Judge) -> list[Build]:
    """Right builds, best first."""
    return sorted(right, key=lambda build: _rank(build, judge), reverse=True)


def _rank(build: Build, judge: Judge) -> tuple[object, ...]:
    own = judge.own_toolkit(build)
    toolkit = numbers(build.cuda or build.variant.removeprefix("rocm"))
    nearness = toolkit if own else tuple(-part for part in toolkit)
    return (
        -_preference(kind_of(build), judge.target),
        numbers(build.torch),
        judge.native(build),
        own,
        nearness,
        build.channel == "conda-forge",
    )


def _preference(kind: Accelerator | None, target: Target) -> int:
    """The place of an accelerator among those of the target; what is not there comes last."""
    here = target.accelerators or ()
    return here.index(kind) if kind in here else len(here)


def _later_rule(build: Build, chosen: Build | None) -> str:
    return "older" if chosen is not None and build.torch != chosen.torch else "variant"


def _later_reason(build: Build, chosen: Build | None) -> Text:
    if chosen is not None and build.torch != chosen.torch:
        return say("right too, but older than {torch}", torch=chosen.torch)
    return say("right too, but {variant} suits this driver better", variant=chosen.variant if chosen else "")
