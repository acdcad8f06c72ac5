"""The exact layer: every case, and its truth in integers.

Operands are small integers, and every partial sum of every pass stays within 256 in units of its last place, so that
any order of summation, in any format of 8 bits or more, gives the same numbers. The truth is worked out in Python by
forward-mode differentiation; torch has no part in it.
"""

from collections.abc import Sequence
from math import prod

from msgspec import structs

from envcheck.gradients import exact_arithmetic, exact_moves, exact_products
from envcheck.gradients.dual import Dual, Grid, slope_of, value_of
from envcheck.gradients.recipe import Case, Recipe, case_of, grids
from envcheck.model.base import Plain

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (*exact_products.RECIPES, *exact_moves.RECIPES, *exact_arithmetic.RECIPES)
}
OUT = "out"
NAN = float("nan")


class Tensor(Plain, frozen=True):
    """Expected numbers of one tensor: the output, or the gradient of the leaf of that name."""

    name: str
    shape: tuple[int, ...]
    values: Sequence[float]


class Pass(Plain, frozen=True):
    """What one forward and backward pass must give. NaN stands where an upstream NaN must come through.

    `may_be_nan`: elsewhere a NaN is allowed (an algorithm may spread it, 0 times NaN is NaN).
    """

    tensors: tuple[Tensor, ...]
    may_be_nan: bool = False


def cases(seed: int) -> tuple[Case, ...]:
    """All cases at their own size."""
    return tuple(case_of(recipe, seed) for recipe in RECIPES.values())


def large_cases(seed: int) -> tuple[Case, ...]:
    """The cases that are run on a batch of 65,537."""
    return tuple(case_of(recipe, seed, narrow=True) for recipe in RECIPES.values() if recipe.large)


class Truth:
    """The truth about one case: its output with derivatives, from which every pass follows."""

    def __init__(self, case: Case, pool: Sequence[int]) -> None:
        self.case = case
        self._pool = pool
        self._recipe = RECIPES[case.name]
        self.leaves = [operand for operand in case.operands if operand.kind == "leaf"]
        self.out = self._forward(case)

    def _forward(self, case: Case) -> Grid:
        return self._recipe.truth(grids(case, lambda value, place: Dual(value, {place: 1})), case.args)

    def upstream(self, which: int) -> list[float]:
        """The first (0) or second (1) upstream gradient, one number for each output element."""
        begin = self.case.upstreams[which]
        return list(self._pool[begin : begin + len(self.out.items)])

    def run(self, name: str) -> Pass:
        """What a pass must give: `first`, `second`, `again`, `expanded`, `strided`, `nan`, `frozen:w` (w a leaf)."""
        if name == "nan":
            return self._nan()
        frozen = name.partition(":")[2]
        upstream = [1.0] * len(self.out.items) if name == "expanded" else self.upstream(int(name == "second"))
        return Pass(
            tuple(tensor for tensor in self._tensors(self.out, upstream) if tensor.name != frozen or not frozen)
        )

    def _tensors(self, out: Grid, upstream: Sequence[float]) -> list[Tensor]:
        flat = _backward(out, upstream, sum(prod(leaf.shape) for leaf in self.leaves))
        tensors, offset = [Tensor(OUT, out.shape, [value_of(item) for item in out.items])], 0
        for leaf in self.leaves:
            size = prod(leaf.shape)
            tensors.append(Tensor(leaf.name, leaf.shape, flat[offset : offset + size]))
            offset += size
        return tensors

    def _nan(self) -> Pass:
        """The first upstream with NaN in its middle."""
        upstream = self.upstream(0)
        middle = len(upstream) // 2
        touched = {place for place, slope in slope_of(self.out.items[middle]).items() if slope}
        upstream[middle] = 0
        tensors, offset = [], 0
        for tensor in self._tensors(self.out, upstream):
            values = list(tensor.values)
            if tensor.name != OUT:
                values = [NAN if offset + place in touched else value for place, value in enumerate(values)]
                offset += len(values)
            tensors.append(tensor.but(values=values))
        return Pass(tuple(tensors), may_be_nan=True)

    def large(self) -> dict[str, tuple[Tensor, bool]]:
        """The large batch: each tensor by name, and whether it is given as the rows that repeat."""
        whole, rest = divmod(self.case.rows, self._rows)
        last = Truth(self._cut(rest), self._pool)
        part = {tensor.name: tensor.values for tensor in last.run("first").tensors}
        repeats = {leaf.name: leaf.batched for leaf in self.leaves} | {OUT: self.case.batched}
        expected = {}
        for tensor in self.run("first").tensors:
            if not repeats[tensor.name]:
                sums = [whole * each + more for each, more in zip(tensor.values, part[tensor.name], strict=True)]
                tensor = tensor.but(values=sums)  # noqa: PLW2901 - the same tensor, of the whole batch
            expected[tensor.name] = (tensor, repeats[tensor.name])
        return expected

    @property
    def _rows(self) -> int:
        """How many rows the batch repeats."""
        return next(operand.shape[0] for operand in self.case.operands if operand.batched)

    def _cut(self, rows: int) -> Case:
        """The case with only the first rows of its batch."""
        operands = [
            structs.replace(
                operand, shape=(rows, *operand.shape[1:]), values=operand.values[: rows * prod(operand.shape[1:])]
            )
            if operand.batched
            else operand
            for operand in self.case.operands
        ]
        return structs.replace(self.case, operands=tuple(operands))


def _backward(out: Grid, upstream: Sequence[float], size: int) -> list[float]:
    """The sum over outputs of upstream times derivative, for each of `size` leaf elements."""
    gradient = [0.0] * size
    for item, each in zip(out.items, upstream, strict=True):
        for place, slope in slope_of(item).items():
            gradient[place] += slope * each
    return gradient
