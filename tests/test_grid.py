"""Every machine of a grid gets the newest right build, judged by an oracle that shares nothing with the resolver."""

import random

import pytest

from benchmarks.grid import SYSTEMS, cells, dotted, facts, oracle_accepts
from envcheck.catalogue import Catalogue
from envcheck.model.plan import Build, Wish
from envcheck.recommend.choice import best
from envcheck.recommend.resolve import plan_for
from envcheck.recommend.target import target_of

CATALOGUE = Catalogue.shipped()


@pytest.fixture(scope="module")
def by_newest() -> dict[tuple[str, str], list[Build]]:
    found: dict[tuple[str, str], list[Build]] = {}
    for build in CATALOGUE.builds():
        if build.variant.startswith("cu"):
            found.setdefault((build.os, build.machine), []).append(build)
    return {place: sorted(rows, key=lambda build: dotted(build.torch), reverse=True) for place, rows in found.items()}


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: f"{system[0]}-{system[1]}")
def test_every_cell_gets_the_newest_right_build(
    system: tuple[str, str, dict[str, tuple[str, str]]], by_newest: dict[tuple[str, str], list[Build]]
) -> None:
    known = set(CATALOGUE.builds())
    for cell in (cell for cell in cells() if cell[:2] == system[:2]):
        chosen = best(target_of(facts(cell), CATALOGUE), CATALOGUE, Wish())
        right = next((build for build in by_newest[cell[0], cell[1]] if oracle_accepts(build, cell)), None)
        assert (chosen and chosen.torch) == (right and right.torch), cell
        if chosen is not None:
            assert chosen in known, cell
            assert oracle_accepts(chosen, cell), cell


def test_every_rejection_has_its_reason_and_every_dead_end_a_way_out() -> None:
    drawn = random.Random(7).sample(list(cells()), 150)
    for cell in drawn:
        plan = plan_for(target_of(facts(cell), CATALOGUE), CATALOGUE, Wish())
        assert len(plan.rejected) == len(CATALOGUE.builds()) - (plan.build is not None), cell
        for rejection in plan.rejected:
            assert rejection.rule
            assert rejection.reason.english()
            if rejection.rule not in ("older", "variant"):
                assert not oracle_accepts(rejection.build, cell), (cell, rejection)
        assert plan.build is not None or plan.nearest, cell


def test_the_grid_is_as_large_as_it_says() -> None:
    assert sum(1 for _ in cells()) == 9 * 32 * (2 * 25 + 19)


def test_the_best_alone_is_the_build_of_the_whole_plan() -> None:
    for cell in random.Random(11).sample(list(cells()), 60):
        target = target_of(facts(cell), CATALOGUE)
        assert best(target, CATALOGUE, Wish()) == plan_for(target, CATALOGUE, Wish()).build
