"""The lesson: plain Python numbers are the authority, and torch must give the very same."""

import re
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from helpers.backprop import ask_of, gradients_of, measure
from helpers.mutants import FAULTS, Injector

from envcheck.gradients.lesson import NET, lesson, net_pass, one_path, train, two_paths
from envcheck.model.gradients import GradientCase, GradientDevice, Gradients, Parting
from envcheck.render import lesson as page
from envcheck.render.curve import curve
from envcheck.render.terminal import ASCII, SYMBOLS, Terminal
from envcheck.render.voice import Voice

STEP = Fraction(1, 2**20)


def test_one_path_is_the_slope_of_the_composed_function() -> None:
    rule = one_path()
    assert rule.values == (9, 19)
    assert rule.derivative == 12 == rule.links[0] * rule.links[1]

    def z(s: Fraction) -> Fraction:
        return 2 * (s * s) + 1

    # The central difference of a polynomial of degree 2 is its derivative.
    assert (z(3 + STEP) - z(3 - STEP)) / (2 * STEP) == rule.derivative


def test_two_paths_add_up_where_they_join() -> None:
    rule = two_paths()
    dz_dx, dx_ds, dz_dy, dy_ds = rule.links
    assert rule.values == (9, 6, 54)
    assert (dz_dx * dx_ds, dz_dy * dy_ds) == (36, 18)
    assert rule.derivative == 54 == 6 * 3**2
    assert two_paths(2.0).derivative == 6 * 2**2


def net_loss(moved: dict[str, list[float]]) -> Fraction:
    """The loss of the net, forward only, over exact fractions."""
    flat = {name: [Fraction(value) for value in values] for name, values in moved.items()}
    x, w1, b1, w2, b2, target = (flat[name] for name in ("x", "w1", "b1", "w2", "b2", "target"))
    hidden = [max(Fraction(0), w1[2 * row] * x[0] + w1[2 * row + 1] * x[1] + b1[row]) for row in range(2)]
    return (w2[0] * hidden[0] + w2[1] * hidden[1] + b2[0] - target[0]) ** 2


def test_the_net_by_hand_agrees_with_differences_of_its_own_forward_pass() -> None:
    flat = {
        name: [item for row in values for item in (row if isinstance(row, list) else [row])]
        for name, values in NET.items()
    }
    true = net_pass()
    assert net_loss(flat) == true.loss == 49
    for name, gradient in true.gradients.items():
        for place, slope in enumerate(gradient):
            up, down = ({**flat, name: list(flat[name])} for _ in range(2))
            up[name][place] += float(STEP)
            down[name][place] -= float(STEP)
            assert (net_loss(up) - net_loss(down)) / (2 * STEP) == slope, (name, place)
    # One hidden unit is off: nothing flows back through it.
    assert true.hidden == [0, 3]
    assert true.d_z1 == [0, 28]


def test_the_loop_learns_to_double() -> None:
    loop = train()
    assert (loop.before, len(loop.steps)) == (12, 300)
    assert loop.after == pytest.approx(8, abs=1e-12)
    assert [step.w for step in loop.steps[:2]] == [2.98, 2.9016]
    w = 3.0
    for step in loop.steps:
        assert step.gradient == (2 * (w * step.x - step.y)) * step.x
        assert step.loss == (w * step.x - step.y) * (w * step.x - step.y)
        w -= 0.01 * step.gradient
        assert step.w == w
    losses = [loss for loss, _ in loop.epochs()]
    assert len(losses) == 100
    assert all(later < earlier for earlier, later in pairwise(losses) if earlier > 1e-20)
    assert losses[-1] < 1e-20


def test_float32_is_followed_bit_by_bit() -> None:
    loop = train("float32")
    w, rate = np.float32(3), np.float32(0.01)
    for step in loop.steps:
        error = w * np.float32(step.x) - np.float32(step.y)
        gradient = np.float32(2) * error * np.float32(step.x)
        w = w - rate * gradient
        assert (step.loss, step.gradient, step.w) == (float(error * error), float(gradient), float(w))


def test_torch_gives_the_same_bits() -> None:
    cases = gradients_of(measure(ask_of([]), [], skip=["cpu/precision"])).devices[0].of("lesson")
    assert {(case.op, case.dtype, case.outcome) for case in cases} == {
        (op, dtype, "ok") for op in (page.CHAIN, page.NET, page.LOOP) for dtype in ("float32", "float64")
    }


def test_a_millionth_too_much_is_seen() -> None:
    fault = next(fault for fault in FAULTS if fault.name == "scale 1 + 1e-6")
    with Injector(fault, "multiplication"):
        run = measure(ask_of([]), [], skip=["cpu/precision"])
    wrong = [case for case in gradients_of(run).devices[0].of("lesson") if case.outcome == "wrong"]
    assert {case.dtype for case in wrong} == {"float32"}
    first = next(case for case in wrong if case.op == page.LOOP).parting
    assert first is not None
    assert first.leg == "gradient of w, step 1"
    assert float.fromhex(first.expected) == 2


# The page ----------------------------------------------------------------------------------------------------------


def judged(*cases: GradientCase) -> Gradients:
    return Gradients(devices=(GradientDevice(device="cpu", kind="cpu", verdict="trusted", cases=cases),))


GOOD = [GradientCase(layer="lesson", op=op, dtype="float32", outcome="ok") for op in (page.CHAIN, page.NET, page.LOOP)]
BAD = GradientCase(
    layer="lesson",
    op=page.LOOP,
    dtype="float32",
    outcome="wrong",
    parting=Parting(leg="w, step 2", expected="0x1.0p+0", got="0x1.2p+0", ulps=9),
)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [60, 80, 200])
def test_every_number_of_the_lesson_is_shown(language: str, width: int) -> None:
    text = page.render(lesson(), judged(*GOOD), Voice(language), Terminal(width=width, marks=SYMBOLS))
    flat = re.sub(r"\s+", " ", text)
    for number in ("12", "54", "36", "18", "[-42, 28]", "[0, 0, 28, 56]", "2.98", "8.000000000000306", "100"):
        assert number in flat
    assert text.count("✓") == 4
    assert "█" in text
    assert ("梯度" in text) == (language == "zh")


def test_what_torch_got_wrong_is_shown_beside_it() -> None:
    text = page.render(lesson(), judged(*GOOD[:2], BAD), Voice("en"), Terminal(width=100, marks=ASCII))
    assert "X torch on cpu in float32: w, step 2 is 0x1.2p+0, not 0x1.0p+0" in text
    assert text.isascii()


def test_without_torch_the_lesson_is_still_there() -> None:
    text = page.render(lesson(), None, Voice("en"), Terminal(width=80))
    assert text.count("torch was not asked") == 4
    assert "prediction for 4 before: 12" in text


# The curve ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("marks", [SYMBOLS, ASCII])
def test_the_curve_falls_from_left_to_right(marks: tuple[str, ...]) -> None:
    terminal = Terminal(marks=marks)  # type: ignore[arg-type] # one of the two
    rows = curve([loss for loss, _ in train().epochs()], terminal, 40, rows=5)
    assert len(rows) == 5
    assert [len(row) for row in rows] == sorted(len(row) for row in rows)
    assert len(rows[-1]) <= 40
    assert all(row.isascii() for row in rows) == (marks is ASCII)


def test_curves_of_little() -> None:
    assert curve([], Terminal(), 40) == []
    assert any(curve([0.0, 0.0], Terminal(), 40))
    assert any(curve([1.0], Terminal(), 40))
    assert all(len(row) <= 3 for row in curve([1.0, 0.5, 0.25, 0.1, 0.0], Terminal(), 3))
