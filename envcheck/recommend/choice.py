"""The best of the builds that are right for a machine.

A build is right when no rule drops it (`rules`). The newest right release wins; among its variants the one whose
kernels need no compiling, then the newest toolkit that the driver speaks itself, then the oldest of the others.
"""

from collections.abc import Iterable
from functools import lru_cache

from envcheck.catalogue import Catalogue
from envcheck.model.plan import Build, Wish
from envcheck.model.versions import numbers
from envcheck.recommend.rules import Judge, kind_of
from envcheck.recommend.target import Accelerator, Target


def best(target: Target, catalogue: Catalogue, wish: Wish) -> Build | None:
    """The build of `resolve.plan_for` alone, without the reasons: the look stops at the first release that has one."""
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
