"""Back-propagation by hand, in plain Python numbers: the authority that torch is held against.

Two chain rules, a net of two layers with every step of its forward and backward pass, and the loop that learns
y = w * x. float32 is followed too: each operation is done in float64 and rounded once, which gives float32's own
result for +, - and * (53 >= 2 * 24 + 2).
"""

from typing import Any

from envcheck.gradients.formats import round_to
from envcheck.model.lesson import ChainRule, Lesson, Loop, LoopStep, NetPass

START, RATE, EPOCHS, PREDICT = 3.0, 0.01, 100, 4.0
XS, YS = (1.0, 2.0, 3.0), (2.0, 4.0, 6.0)


def lesson() -> Lesson:
    """All of it, in float64."""
    return Lesson(one_path(), two_paths(), net_pass(), train())


def one_path(s: float = 3.0) -> ChainRule:
    """Case 1: z = 2*u + 1 with u = s*s, so dz/ds = dz/du * du/ds."""
    u = s * s
    dz_du, du_ds = 2.0, 2 * s
    return ChainRule(s, (u, 2 * u + 1), (dz_du, du_ds), dz_du * du_ds)


def two_paths(s: float = 3.0) -> ChainRule:
    """Case 2: z = x*y with x = s*s and y = 2*s; the paths through x and y add up where they join."""
    x, y = s * s, 2 * s
    dz_dx, dx_ds, dz_dy, dy_ds = y, 2 * s, x, 2.0
    return ChainRule(s, (x, y, x * y), (dz_dx, dx_ds, dz_dy, dy_ds), dz_dx * dx_ds + dz_dy * dy_ds)


NET: dict[str, list[Any]] = {
    "x": [1.0, 2.0],
    "w1": [[1.0, -1.0], [2.0, 1.0]],
    "b1": [0.0, -1.0],
    "w2": [[3.0, -2.0]],
    "b2": [1.0],
    "target": [2.0],
}


def net_pass() -> NetPass:
    """Forward: z = W a + b, a = relu(z). Backward: from dC/dz of the last layer to the first; dC/dW = dC/dz times a."""
    x, w1, w2, target = NET["x"], NET["w1"], NET["w2"], NET["target"]
    z1 = [sum(w * a for w, a in zip(row, x, strict=True)) + b for row, b in zip(w1, NET["b1"], strict=True)]
    hidden = [max(0.0, z) for z in z1]
    z2 = [sum(w * a for w, a in zip(row, hidden, strict=True)) + b for row, b in zip(w2, NET["b2"], strict=True)]
    errors = [z - t for z, t in zip(z2, target, strict=True)]
    d_z2 = [2 * error for error in errors]
    d_hidden = [sum(row[k] * d for row, d in zip(w2, d_z2, strict=True)) for k in range(len(hidden))]
    d_z1 = [d if z > 0 else 0.0 for d, z in zip(d_hidden, z1, strict=True)]
    gradients = {
        "x": [sum(row[k] * d for row, d in zip(w1, d_z1, strict=True)) for k in range(len(x))],
        "w1": [d * a for d in d_z1 for a in x],
        "b1": d_z1,
        "w2": [d * a for d in d_z2 for a in hidden],
        "b2": d_z2,
        "target": [-d for d in d_z2],
    }
    return NetPass(x, target, z1, hidden, z2, sum(error * error for error in errors), d_z2, d_hidden, d_z1, gradients)


def train(dtype: str = "float64", epochs: int = EPOCHS) -> Loop:
    """Learn w in the arithmetic of `dtype` (float64 or float32), rounding after every operation."""

    def rounded(value: float) -> float:
        return round_to(value, dtype)

    w, rate, steps = rounded(START), rounded(RATE), []
    before = rounded(w * PREDICT)
    for _ in range(epochs):
        for x, y in zip(XS, YS, strict=True):
            error = rounded(rounded(w * x) - y)
            gradient = rounded(rounded(2 * error) * x)
            w = rounded(w - rounded(rate * gradient))
            steps.append(LoopStep(x, y, rounded(error * error), gradient, w))
    return Loop(START, RATE, PREDICT, before, rounded(w * PREDICT), steps, len(XS))


def ask() -> dict[str, Any]:
    """What the worker needs to do the same in torch."""
    loop = {"start": START, "rate": RATE, "epochs": EPOCHS, "predict": PREDICT, "x": [*XS], "y": [*YS]}
    return {"net": NET, "loop": loop}
