"""The exact layer: its truth needs no torch, leaves no room for rounding, and torch agrees with it."""

from collections.abc import Iterator
from math import isnan, prod

import msgspec
import pytest
from helpers.backprop import ask_of, gradients_of, measure, mkldnn_set, worker
from hypothesis import given
from hypothesis import strategies as st

from envcheck.gradients.bits import packed, part, place_of
from envcheck.gradients.draw import Draw
from envcheck.gradients.dual import Dual, Grid, dot, slope_of, total, value_of
from envcheck.gradients.exact import OUT, RECIPES, Pass, Tensor, Truth, cases, large_cases
from envcheck.gradients.formats import FORMATS, as_hex, pack, round_to, ulps, unpack
from envcheck.gradients.recipe import LARGE, LONGEST, POOL, Case, distinct, grids, pool_of, small

SEEDS = (0, 1, 77)
DTYPES = ("float32", "bfloat16", "float16")


def every_case(seed: int) -> Iterator[Case]:
    yield from cases(seed)
    yield from large_cases(seed)


# The cases -----------------------------------------------------------------------------------------------------------


def test_there_are_enough_cases_and_the_worker_knows_each_operation() -> None:
    assert len(RECIPES) >= 40
    assert {recipe.op or name for name, recipe in RECIPES.items()} == set(worker().exact_step.__globals__["EXACT"])
    for family in ("matmul", "linear", "conv2d", "conv2d_stride2", "embedding", "gather", "scatter_add", "cumsum"):
        assert family in RECIPES
    for family in ("relu", "max_pool2d", "avg_pool2d", "sort", "indexing", "einsum_bilinear", "sum", "squared_loss"):
        assert family in RECIPES


def test_every_case_with_a_batch_is_run_on_65537_rows() -> None:
    without = {name for name, recipe in RECIPES.items() if not recipe.large}
    assert without == {"mean_squared_loss", "unfold"}
    assert {case.name for case in large_cases(0)} == set(RECIPES) - without
    assert all(case.rows == LARGE == 2**16 + 1 for case in large_cases(0))


def test_cases_are_the_same_everywhere_and_differ_by_seed() -> None:
    first, again, other = cases(5), cases(5), cases(6)
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))
    # Frozen: recorded runs of other machines and versions must mean the same numbers.
    assert cases(0)[0].operands[0].values[:6] == (-1, -1, -2, 2, -2, 1)
    assert pool_of(0)[:6] == (1, -1, -2, -1, 1, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_operands_are_small_and_not_zero_and_outputs_fit_the_pool(seed: int) -> None:
    for case in every_case(seed):
        out = Truth(case, pool_of(seed)).out
        assert 0 < len(out.items) <= LONGEST
        assert max(case.upstreams) + len(out.items) <= POOL
        for operand in case.operands:
            assert len(operand.values) == prod(operand.shape)
            if operand.kind in ("leaf", "constant"):
                assert all(0 < abs(value) <= 128 for value in operand.values)


class Bound:
    """A number with the largest partial sum that any order of adding its parts could pass through, and its slopes'.

    Both count in units of `2**-scale`, the last place of what the case calculates with.
    """

    def __init__(self, value: float, size: float, slope: dict[int, float]) -> None:
        self.value, self.size, self.slope = value, size, slope

    @staticmethod
    def of(other: object) -> "Bound":
        return other if isinstance(other, Bound) else Bound(other, abs(other), {})  # type: ignore[arg-type] # a number

    def __add__(self, other: object) -> "Bound":
        two = Bound.of(other)
        slope = {key: self.slope.get(key, 0) + two.slope.get(key, 0) for key in self.slope.keys() | two.slope}
        return Bound(self.value + two.value, self.size + two.size, slope)

    def __mul__(self, other: object) -> "Bound":
        two = Bound.of(other)
        slope = {
            key: self.slope.get(key, 0) * two.size + two.slope.get(key, 0) * self.size
            for key in self.slope.keys() | two.slope
        }
        return Bound(self.value * two.value, self.size * two.size, slope)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> "Bound":
        return Bound(-self.value, self.size, self.slope)

    def __sub__(self, other: object) -> "Bound":
        return self + -Bound.of(other)

    def __rsub__(self, other: object) -> "Bound":
        return Bound.of(other) + -self

    def __gt__(self, other: object) -> bool:
        return self.value > Bound.of(other).value

    def __lt__(self, other: object) -> bool:
        return self.value < Bound.of(other).value


FRACTIONS = {
    "avg_pool2d": 4,
    "adaptive_avg_pool2d": 4,
    "mean_rows": 8,
    "mean_squared_loss": 32,
    "leaky_relu": 2,
    "clamp": 2,
    "sgd": 8,
}
"""Cases whose numbers are multiples of a power of two below 1."""


@pytest.mark.parametrize("seed", SEEDS)
def test_no_partial_sum_in_any_order_passes_256_in_the_last_place(seed: int) -> None:
    for case in cases(seed):
        unit = FRACTIONS.get(case.name, 1)
        out = RECIPES[case.name].truth(
            grids(case, lambda value, place: Bound(value, abs(value), {place: 1})), case.args
        )
        upstream = [2] * len(out.items)
        gradient: dict[int, float] = {}
        for item, each in zip(map(Bound.of, out.items), upstream, strict=True):
            assert item.size * unit <= 256, case.name
            for place, slope in item.slope.items():
                gradient[place] = gradient.get(place, 0) + slope * each
        # Losses are summed once: their upstream is a single number.
        assert max(gradient.values(), default=0) * unit <= 256, case.name


@pytest.mark.parametrize("seed", SEEDS)
def test_large_batches_stay_exact_in_float32(seed: int) -> None:
    for case in large_cases(seed):
        for tensor, _ in Truth(case, pool_of(seed)).large().values():
            assert all(abs(value) * FRACTIONS.get(case.name, 1) < 2**24 for value in tensor.values)


@pytest.mark.parametrize("seed", range(12))
def test_a_nan_upstream_must_come_through_somewhere(seed: int) -> None:
    pool = pool_of(seed)
    empty = []
    for case in cases(seed):
        truth = Truth(case, pool)
        if truth.leaves:
            found = truth.run("nan")
            assert found.may_be_nan
            if not any(isnan(value) for tensor in found.tensors for value in tensor.values):
                empty.append(case.name)
    # Functions that stop some of what comes back may stop this one.
    assert set(empty) <= {"relu", "masked_fill", "clamp", "tril", "pad", "embedding_padding"}


# The truth -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-9, 9), min_size=3, max_size=3))
def test_derivatives_of_polynomials(point: list[int]) -> None:
    x, y, z = (Dual(value, {place: 1}) for place, value in enumerate(point))
    a, b, c = point
    made = (x + 2) * y - z * x * 3 + (4 - y) + total([x, z]) + dot([(x, y), (z, z)])
    assert value_of(made) == (a + 2) * b - c * a * 3 + (4 - b) + a + c + a * b + c * c
    slope = {key: value for key, value in slope_of(made).items() if value}
    expected = {0: b - 3 * c + 1 + b, 1: a + 2 - 1 + a, 2: -3 * a + 1 + 2 * c}
    assert slope == {key: value for key, value in expected.items() if value}


LINEAR = sorted(
    set(RECIPES)
    - {"square", "chain", "relu", "leaky_relu", "abs", "clamp", "maximum", "prelu", "amax", "sort", "sort_descending"}
    - {"topk", "max_pool2d", "max_pool2d_overlapping", "squared_loss", "mean_squared_loss", "absolute_loss", "sgd"}
    - {"two_layers", "two_layers_loss", "residual", "tied_weights", "mixer", "embedding_padding"}
)


@pytest.mark.parametrize("name", LINEAR)
def test_a_derivative_is_the_change_of_the_output_under_a_step_of_one(name: str) -> None:
    case = next(case for case in cases(3) if case.name == name)
    pool = pool_of(3)
    truth = Truth(case, pool)
    offset = 0
    for leaf in truth.leaves:
        step = len(leaf.values) // 2
        values = [*leaf.values[:step], leaf.values[step] + 1, *leaf.values[step + 1 :]]
        moved = tuple(
            msgspec.structs.replace(operand, values=tuple(values)) if operand.name == leaf.name else operand
            for operand in case.operands
        )
        after = Truth(msgspec.structs.replace(case, operands=moved), pool).out
        change = [value_of(b) - value_of(a) for a, b in zip(truth.out.items, after.items, strict=True)]
        assert change == [slope_of(item).get(offset + step, 0) for item in truth.out.items]
        offset += len(leaf.values)


def test_upstreams_passes_and_frozen_leaves() -> None:
    case = next(case for case in cases(0) if case.name == "linear")
    truth = Truth(case, pool_of(0))
    first, second, expanded = (truth.run(run).tensors for run in ("first", "second", "expanded"))
    assert [tensor.name for tensor in first] == [OUT, "x", "w", "b"]
    assert first[0] == second[0] == expanded[0]
    assert first[2].values != second[2].values
    # With an upstream of ones the bias gets the number of rows.
    assert set(expanded[3].values) == {9}
    assert [tensor.name for tensor in truth.run("frozen:x").tensors] == [OUT, "w", "b"]


def test_a_large_batch_is_its_rows_over_and_over() -> None:
    case = next(case for case in large_cases(0) if case.name == "linear")
    truth = Truth(case, pool_of(0))
    found = truth.large()
    once = {tensor.name: tensor for tensor in truth.run("first").tensors}
    assert {name for name, (_, repeats) in found.items() if repeats} == {OUT, "x"}
    assert found["x"][0] == once["x"]
    # 65537 = 21845 * 3 + 2: the last two rows count once more than the third.
    upstream = truth.upstream(0)
    whole = [sum(upstream[o::2]) * 21845 + upstream[o] + upstream[2 + o] for o in range(2)]
    assert list(found["b"][0].values) == whole


# Formats -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FORMATS)
def test_bytes_are_those_of_torch(dtype: str) -> None:
    import torch

    numbers = [0.0, 1.0, -2.5, 2.0**-14, 240.0, FORMATS[dtype].smallest, float("inf")]
    tensor = torch.tensor(numbers, dtype=getattr(torch, dtype))
    raw = bytes(tensor.view(torch.uint8).tolist())
    assert pack(numbers, dtype) == raw
    assert unpack(raw, dtype) == tuple(tensor.double().tolist())
    assert torch.finfo(tensor.dtype).eps == 2 * FORMATS[dtype].roundoff
    with pytest.raises(ValueError, match="no whole number"):
        unpack(raw[:-1], dtype)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(0, 300))
def test_ulps_count_representable_numbers(value: float, steps: int) -> None:
    raw = int.from_bytes(pack([abs(value)], "float32"), "little")
    other = unpack((min(raw + steps, 0x7F7FFFFF)).to_bytes(4, "little"), "float32")[0]
    distance = min(raw + steps, 0x7F7FFFFF) - raw
    assert ulps(abs(value), other, "float32") == distance
    assert ulps(-other, -abs(value), "float32") == distance


def test_ulps_across_zero_and_of_what_is_no_number() -> None:
    tiny = FORMATS["float16"].smallest
    assert ulps(-tiny, tiny, "float16") == 2
    assert ulps(0.0, -0.0, "float16") == 0
    assert ulps(float("nan"), 1.0, "float16") is None
    assert as_hex(float("inf")) == "inf"


@given(st.floats(allow_nan=False))
def test_rounding_to_float32_is_numpys(value: float) -> None:
    import numpy as np

    with np.errstate(over="ignore"):
        assert round_to(value, "float32") == float(np.float32(value))
    assert round_to(value, "float64") == value


# Comparison ----------------------------------------------------------------------------------------------------------


def expected_pass(*values: float, may_be_nan: bool = False) -> Pass:
    return Pass((Tensor(OUT, (1,), [1.0]), Tensor("w", (2, 2), values)), may_be_nan)


def test_the_first_wrong_number_is_named() -> None:
    true = expected_pass(1, 2, 3, 4)
    raw = bytearray(packed(true, "float32"))
    assert part(true, bytes(raw), "float32", "first") is None
    raw[3 * 4] ^= 1
    raw[4 * 4] ^= 1
    found = part(true, bytes(raw), "float32", "second")
    assert found is not None
    assert (found.leg, found.run, found.index, found.ulps) == ("w", "second", (1, 0), 1)
    assert (found.wrong, found.size) == (2, 4)
    assert (found.expected, float.fromhex(found.got)) == ((3.0).hex(), 3 + 2**-22)


def test_the_sign_of_a_zero_does_not_count_and_nan_does() -> None:
    true = expected_pass(0, 0, 3, 4)
    assert part(true, pack([1, -0.0, 0, 3, 4], "float32"), "float32", "first") is None
    assert part(true, pack([1, 0, 0, float("nan"), 4], "float32"), "float32", "first") is not None


def test_nan_must_come_through_and_may_spread() -> None:
    nan = float("nan")
    true = expected_pass(1, nan, 3, 4, may_be_nan=True)
    assert part(true, pack([1, 1, nan, nan, 4], "float32"), "float32", "nan") is None
    lost = part(true, pack([1, 1, 0, 3, 4], "float32"), "float32", "nan")
    assert lost is not None
    assert (lost.index, lost.expected) == ((0, 1), "nan")
    assert part(true, pack([1, 1, nan, 2, 4], "float32"), "float32", "nan") is not None


def test_too_few_or_too_many_numbers_are_wrong() -> None:
    true = expected_pass(1, 2, 3, 4)
    assert part(true, pack([1, 1, 2, 3], "float32"), "float32", "first") is not None
    assert part(true, pack([1, 1, 2, 3, 4, 5], "float32"), "float32", "first") is not None


def test_places_are_row_major() -> None:
    assert [place_of(index, (2, 3)) for index in range(6)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert place_of(0, ()) == ()


def test_grids_refuse_what_lies_outside() -> None:
    grid = Grid((2, 3), list(range(6)))
    assert grid[1, 2] == 5
    assert [row.items for row in grid.rows()] == [[0, 1, 2], [3, 4, 5]]
    for outside in ((2, 0), (0, -1)):
        with pytest.raises(IndexError, match="outside"):
            grid[outside]
    with pytest.raises(ValueError, match="do not fill"):
        Grid((2, 2), [1])


def test_drawing() -> None:
    draw = Draw(0, "x")
    assert set(draw.choices((1, 2, 3), 60)) == {1, 2, 3}
    assert sorted(draw.shuffled(range(9))) == list(range(9))
    assert len(set(distinct(draw, 153))) == 153
    assert 0 not in small(draw, 99)


# torch ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [3, 4])
def test_torch_gives_the_very_integers(seed: int) -> None:
    found = gradients_of(measure(ask_of(seed=seed, large=seed == 3), [], skip=["cpu/precision"]))
    exact = found.devices[0].of("exact")
    assert len(exact) == 4 * len(RECIPES)
    assert [case for case in exact if case.outcome != "ok" or not case.repeatable] == []


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("mkldnn", [True, False])
def test_threads_and_library_paths_do_not_matter(threads: int, mkldnn: bool) -> None:
    names = ("linear", "bmm", "conv2d", "conv2d_grouped", "conv_transpose2d", "max_pool2d", "embedding", "two_layers")
    with mkldnn_set(mkldnn):
        run = measure(ask_of(names, seed=9), [], skip=["cpu/precision", "cpu/lesson"], threads=threads)
    assert {case.outcome for case in gradients_of(run).devices[0].of("exact")} == {"ok"}
