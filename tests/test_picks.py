"""The benchmark that counts who picks what: its judge, and uv choosing from our pages."""

import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import picks
from benchmarks.grid import Cell, cells, is_built
from benchmarks.torch_site import torch_site

ADA: Cell = ("linux", "x86_64", "580.95.05", ("8.9",), "3.12")
PASCAL: Cell = ("linux", "x86_64", "535.183.01", ("6.1",), "3.12")
OLD: Cell = ("linux", "x86_64", "440.33.01", ("7.0",), "3.13")


@pytest.mark.parametrize(
    ("cell", "pick", "said"),
    [
        (ADA, ("2.15.0", "cu132"), "right"),
        (ADA, ("2.6.0", "cu118"), "older than need be"),
        (ADA, ("2.15.0", "cpu"), "CPU build beside a GPU that would do"),
        (ADA, None, "nothing installs"),
        (PASCAL, ("2.13.0", "cu129"), "cannot run"),
        (OLD, ("2.15.0", "cpu"), "right"),
        (OLD, None, "right"),
    ],
)
def test_each_kind_of_pick(cell: Cell, pick: tuple[str, str] | None, said: str) -> None:
    build = picks._first(cell, pick[1], pick[0]) if pick else None
    assert picks.judge(cell, build) == said


def test_ours_is_right_on_a_part_of_the_grid() -> None:
    grid = [cell for cell in cells() if is_built(cell)][::97]
    assert {picks.judge(cell, pick) for cell, pick in zip(grid, picks.ours(grid), strict=True)} == {"right"}


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_uv_chooses_from_our_pages(tmp_path: Path) -> None:
    program = str(Path(sys.executable).parent / "uv")
    with torch_site(picks.CATALOGUE.builds(), tmp_path) as env:
        asked = [
            picks.ask_uv(program, (*ADA[:3], python), env, str(tmp_path))  # type: ignore[arg-type]
            for python in ("3.12", "3.9")
        ]
    assert asked == ["2.15.0+cu132", "2.8.0+cu129"]
