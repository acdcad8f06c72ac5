"""The random layer: its error measure, its reference, its judge."""

import math
from typing import Any

import pytest
import torch
from helpers.backprop import ask_of, gradients_of, measure, worker
from helpers.mutants import Fault, Injector
from hypothesis import given
from hypothesis import strategies as st

from envcheck.gradients.bits import inflate
from envcheck.gradients.formats import FORMATS, unpack
from envcheck.gradients.judge_random import judge_random, judge_reference, reference_legs
from envcheck.gradients.limits import ELEMENT, SLOPE
from envcheck.gradients.measure import deviation
from envcheck.model.gradients import GradientCase

DTYPES = ("float32", "bfloat16", "float16")
WANTED = {"linear", "conv2d", "attention", "layer_norm", "batch_norm", "cross_entropy", "gelu", "lstm", "embedding"}
U = FORMATS["float32"].roundoff


def random_cases(*ops: str, seed: int = 0) -> list[GradientCase]:
    run = measure(ask_of([], seed=seed), ops or None, skip=["cpu/lesson", "cpu/precision", "cpu/elementwise"])
    return [case for case in gradients_of(run).devices[0].cases if case.layer == "random"]


# The measure ---------------------------------------------------------------------------------------------------------

NUMBERS = st.lists(st.floats(-4, 4).filter(lambda value: abs(value) > 0.01), min_size=2, max_size=40)


@given(NUMBERS)
def test_nothing_is_off_when_nothing_is_off(reference: list[float]) -> None:
    found = deviation(reference, reference, [0.0] * len(reference), U, 0.0)
    assert (found.error, found.slope) == (0, 0)


@given(NUMBERS, st.integers(0, 39), st.floats(1, 1000))
def test_one_number_off_shows_at_its_place(reference: list[float], place: int, units: float) -> None:
    place %= len(reference)
    got = list(reference)
    got[place] += units * U
    found = deviation(got, reference, [1.0] * len(reference), U, 0.0)
    rms = math.sqrt(sum(value * value for value in reference) / len(reference))
    assert found.place == place
    assert found.error == pytest.approx(units / (abs(reference[place]) + 1 + rms / 2), rel=1e-3)


@given(NUMBERS, st.floats(0.1, 100))
def test_the_measure_does_not_depend_on_the_size_of_the_numbers(reference: list[float], scale: float) -> None:
    spread = [abs(value) for value in reference]
    got = [value * (1 + 5 * U) for value in reference]
    one = deviation(got, reference, spread, U, 0.0)
    other = deviation(*([value * scale for value in each] for each in (got, reference, spread)), U, 0.0)
    assert other.error == pytest.approx(one.error, rel=1e-6)
    assert other.slope == pytest.approx(one.slope, rel=1e-6)


def test_a_common_factor_shows_in_the_slope_long_before_in_any_number() -> None:
    reference = [1.0 + place / 100 for place in range(100)]
    got = [value * (1 + 8 * U) for value in reference]
    found = deviation(got, reference, [0.5] * 100, U, 0.0)
    assert found.error < 8
    assert found.slope > 30


def test_what_is_not_a_number_is_infinitely_wrong() -> None:
    for value in (math.nan, math.inf, -math.inf):
        found = deviation([1.0, value], [1.0, 2.0], [0.0, 0.0], U, 0.0)
        assert (found.error, found.place, found.slope) == (math.inf, 1, math.inf)


def test_below_the_smallest_number_nothing_can_be_expected() -> None:
    assert deviation([0.0], [2.0**-150], [0.0], U, 2.0**-149).error < 1


# The reference -------------------------------------------------------------------------------------------------------


def test_every_operation_of_the_issue_is_there() -> None:
    assert set(worker().RANDOM) >= WANTED | {"norm", "complex_matmul", "adam"}


@pytest.mark.parametrize("seed", [0, 11])
def test_the_reference_agrees_with_its_own_derivative(seed: int) -> None:
    found = gradients_of(measure(ask_of([], seed=seed), skip=["cpu/"])).references
    assert {one.op for one in found} == {name for name, op in worker().RANDOM.items() if op.differentiable}
    assert all(one.ok for one in found)
    assert max(float.fromhex(one.error) for one in found) < 1e-8


@pytest.mark.parametrize(
    ("analytic", "numeric", "ok"), [(1.0, 1.0, True), (1.0, 1 + 1e-9, True), (1.0, 1 + 1e-6, False)]
)
def test_a_reference_is_believed_or_not(analytic: float, numeric: float, ok: bool) -> None:
    slope = {"analytic": analytic.hex(), "numeric": numeric.hex(), "size": (1.0).hex()}
    assert judge_reference("linear", slope).ok is ok


def linear_reference(seed: int = 0) -> tuple[dict[str, Any], list[torch.Tensor], torch.Tensor]:
    """The worker's reference of `linear`, its leaves, and its upstream gradient."""
    step = worker().reference_step
    case_type = step.__globals__["RandomCase"]
    case = case_type(torch, "linear", seed, False)
    case.run(step.__globals__["Kit"](torch, "cpu"), torch.float64)
    return step(torch, "linear", seed, False), [case.numbers[name] for name in ("x", "w", "b")], case.upstream((9, 21))


def test_the_reference_of_a_linear_layer_is_its_closed_form() -> None:
    value, (x, w, b), upstream = linear_reference()
    legs = {leg.name: leg for leg in reference_legs(value, value)}
    closed = {"out": x @ w.t() + b, "x": upstream @ w, "w": upstream.t() @ x, "b": upstream.sum(0)}
    for name, tensor in closed.items():
        assert legs[name].shape == tuple(tensor.shape)
        assert legs[name].exact == pytest.approx(tensor.reshape(-1).tolist(), rel=1e-12, abs=1e-12)


def test_the_spread_is_the_condition_of_the_sum() -> None:
    """For sums of products it is near the root of the sum of their squares; for a bias, only upstream moves it."""
    value, (x, w, _), upstream = linear_reference()
    spread = {leg.name: torch.tensor(leg.spread) for leg in reference_legs(value, value)}
    for name, terms in (("x", (upstream**2) @ (w**2)), ("w", (upstream**2).t() @ (x**2)), ("b", (upstream**2).sum(0))):
        ratio = spread[name].double() / terms.sqrt().reshape(-1)
        assert 0.8 < float(ratio.mean()) < 1.7


def test_numbers_are_held_exactly_by_the_dtypes_that_they_are_for() -> None:
    draw = worker().reference_step.__globals__["operands"]
    for name, op in worker().RANDOM.items():
        wide, narrow = draw(torch, op, name, 3, False), draw(torch, op, name, 3, True)
        for leaf in op.leaves:
            assert torch.equal(wide[leaf].float().double(), wide[leaf])
            assert torch.equal(narrow[leaf].bfloat16().double(), narrow[leaf])
            assert torch.equal(narrow[leaf].half().double(), narrow[leaf])


# The judge -----------------------------------------------------------------------------------------------------------


def test_a_sound_torch_is_far_from_the_limits() -> None:
    cases = [case for seed in (0, 5) for case in random_cases(seed=seed)]
    assert len(cases) == 2 * (15 * 3 + 1)
    assert {case.outcome for case in cases} == {"ok"}
    for case in cases:
        assert case.error is not None
        assert case.slope is not None
        assert 0 < float.fromhex(case.error) < ELEMENT[case.dtype] / 1.5, case
        assert float.fromhex(case.slope) < SLOPE[case.dtype] / 1.5, case
        assert case.repeatable


def judged(change: Any, dtype: str = "float32") -> GradientCase:
    """`linear` in `dtype`, its first result put through `change` (a function of the list of numbers)."""
    from envcheck.gradients.formats import pack

    glob = worker().reference_step.__globals__
    value, _, _ = linear_reference()
    wide = "float32" if dtype == "float32" else "narrow"
    reference = value if wide == "float32" else glob["reference_step"](torch, "linear", 0, True)
    step = worker().random_step(glob["Kit"](torch, "cpu"), "linear", 0, dtype)
    numbers = list(unpack(inflate(step["data"]), dtype))
    raw = pack(change(numbers), dtype)
    changed = {"sizes": [len(raw)], "data": glob["encode"]([raw]), "runs": [0, 0, 0]}
    return judge_random("linear", dtype, 0, changed, reference_legs(reference, value))


def test_one_number_and_its_leg_are_named() -> None:
    def wrong(numbers: list[float]) -> list[float]:
        numbers[9 * 21 + 5] += 0.01
        return numbers

    case = judged(wrong)
    assert case.outcome == "wrong"
    assert case.parting is not None
    assert (case.parting.leg, case.parting.index, case.error_leg) == ("x", (0, 5), "x")


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_scale_error_below_any_tolerance_is_seen(dtype: str) -> None:
    roundoffs = {"float32": 16, "bfloat16": 6, "float16": 6}[dtype]
    factor = 1 + roundoffs * FORMATS[dtype].roundoff
    case = judged(lambda numbers: [value * factor for value in numbers], dtype)
    assert case.outcome == "wrong"
    assert float.fromhex(case.error or "nan") < ELEMENT[dtype]
    assert float.fromhex(case.slope or "nan") > SLOPE[dtype]


def test_a_missing_number_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="numbers"):
        judged(lambda numbers: numbers[:-1])


def test_a_wrong_second_time_counts() -> None:
    fault = Fault("second", lambda tensor, call: tensor * 2 if call.before == 1 else tensor)
    with Injector(fault, "gelu"):
        (case, *_) = random_cases("gelu")
    assert case.dtype == "float32"
    assert (case.outcome, case.repeatable) == ("wrong", False)


def test_unsteady_but_right_is_told_and_not_wrong() -> None:
    last_bit = Fault("unsteady", lambda tensor, call: tensor * (1 + 1e-7 * call.before))
    with Injector(last_bit, "gelu"):
        cases = random_cases("gelu")
    assert [(case.outcome, case.repeatable) for case in cases if case.dtype == "float32"] == [("ok", False)]
