"""How a case of the exact layer is described, and how its operands are drawn."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from envcheck.gradients.draw import Draw
from envcheck.gradients.dual import Grid
from envcheck.model.base import Plain, Value

Palette = Callable[[Draw, int], list[int]]
Operands = Mapping[str, Grid]
Truth = Callable[[Operands, Mapping[str, Any]], Grid]
Kind = Literal["leaf", "constant", "index", "mask"]

ROWS = 3
"""Rows of a narrow case, of which the large batch is tiled."""
LARGE = 65537
"""One more than 2**16: kernels that count blocks or indices in 16 bits go wrong here (pytorch #96225)."""


def small(draw: Draw, count: int) -> list[int]:
    """Of 1 and 2 and their negatives; never 0, which would hide a lost factor."""
    return draw.choices((-2, -1, 1, 2), count)


def signs(draw: Draw, count: int) -> list[int]:
    """Of 1 and -1, where the sums are long."""
    return draw.choices((-1, 1), count)


def distinct(draw: Draw, count: int) -> list[int]:
    """All different and none 0: no ties."""
    return draw.shuffled([number for number in range(-(count // 2), count - count // 2 + 1) if number])


def evens(draw: Draw, count: int) -> list[int]:
    """Even numbers of a small range; they never tie with `odds`."""
    return [2 * number for number in draw.choices((-3, -2, -1, 1, 2, 3), count)]


def odds(draw: Draw, count: int) -> list[int]:
    """Odd numbers of a small range."""
    return [2 * number + 1 for number in draw.choices((-3, -2, -1, 0, 1, 2), count)]


def below(bound: int) -> Palette:
    """Indices into an axis of that length."""
    return lambda draw, count: draw.choices(range(bound), count)


class Part(Plain, frozen=True):
    """One operand: its shape in the wide case and in the narrow one, and what it is drawn from.

    A part that is not `shared` has the batch as its first axis (`ROWS` rows in the narrow case). `pins` are elements
    that are fixed after drawing, so that the middle of the output depends on something.
    """

    name: str
    wide: tuple[int, ...]
    narrow: tuple[int, ...]
    palette: Palette = small
    kind: Kind = "leaf"
    shared: bool = False
    narrow_palette: Palette | None = None


class Recipe(Plain, frozen=True):
    """A case: what torch is asked to do (`op` with `args`) and the same in Python (`truth`).

    `batched`: the output's first axis is the batch; otherwise the output is one sum over the batch. `large`: rows do
    not mix, so that a batch of 65,537 tiled from `ROWS` rows has a truth that follows from theirs.
    """

    name: str
    truth: Truth
    parts: tuple[Part, ...]
    op: str = ""
    args: Mapping[str, Any] = {}
    narrow_args: Mapping[str, Any] | None = None
    batched: bool = True
    large: bool = True


class Operand(Value, frozen=True, kw_only=True):
    """Drawn numbers, row-major."""

    name: str
    shape: tuple[int, ...]
    values: tuple[int, ...]
    kind: Kind = "leaf"
    batched: bool = True


class Case(Value, frozen=True, kw_only=True):
    """What the worker is asked: an operation and its operands.

    An upstream gradient is cut from the pool of small integers that all cases share: as long as the output, from
    the first or the second of `upstreams` on. `rows` is 0 for a case of its own size; otherwise the operands and the
    upstream gradient are tiled along the batch to that many rows. `batched`: the output has the batch as its first
    axis, else it is one sum over the batch.
    """

    name: str
    op: str
    args: dict[str, Any]
    operands: tuple[Operand, ...]
    upstreams: tuple[int, int]
    batched: bool
    rows: int = 0


POOL = 1024
LONGEST = 512
"""Elements that the output of a case may have."""


def pool_of(seed: int) -> tuple[int, ...]:
    """The pool that upstream gradients are cut from."""
    return tuple(small(Draw(seed, "pool"), POOL))


def _operands(parts: Sequence[Part], draw: Draw, *, narrow: bool) -> tuple[Operand, ...]:
    operands = []
    for part in parts:
        shape = part.narrow if narrow else part.wide
        count = 1
        for length in shape:
            count *= length
        palette = part.narrow_palette if narrow and part.narrow_palette else part.palette
        values = tuple(palette(draw, count))
        operands.append(Operand(name=part.name, shape=shape, values=values, kind=part.kind, batched=not part.shared))
    return tuple(operands)


def case_of(recipe: Recipe, seed: int, *, narrow: bool = False) -> Case:
    """The case drawn with `seed`; `narrow`: the one whose operands are tiled to `LARGE` rows."""
    draw = Draw(seed, recipe.name + ("/large" if narrow else ""))
    args = recipe.narrow_args if narrow and recipe.narrow_args is not None else recipe.args
    return Case(
        name=recipe.name,
        op=recipe.op or recipe.name,
        args=dict(args),
        operands=_operands(recipe.parts, draw, narrow=narrow),
        upstreams=(draw.below(POOL - LONGEST), draw.below(POOL - LONGEST)),
        batched=recipe.batched,
        rows=LARGE if narrow else 0,
    )


def grids(case: Case, wrap: Callable[[int, int], Any]) -> dict[str, Grid]:
    """The operands as grids; element `n` of the leaves, counted through all of them, becomes `wrap(value, n)`."""
    found, offset = {}, 0
    for operand in case.operands:
        items: Sequence[Any] = operand.values
        if operand.kind == "leaf":
            items = [wrap(value, offset + place) for place, value in enumerate(operand.values)]
            offset += len(items)
        found[operand.name] = Grid(operand.shape, items)
    return found
