"""Exact cases: element-wise functions, reductions, pooling, losses, and small nets made of them."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from envcheck.gradients.dual import Grid, dot, make, total, value_of
from envcheck.gradients.recipe import Operands, Part, Recipe, below, distinct, evens, odds, signs, small

Args = Mapping[str, Any]
Each = Callable[..., Any]


def _relu(number: Any) -> Any:
    return max(0, number)


def _each(function: Each) -> Callable[[Operands, Args], Grid]:
    """The truth of an element-wise function of x (and y, z, ... in the order of the operands)."""

    def truth(t: Operands, _: Args) -> Grid:
        grids = list(t.values())
        return Grid(grids[0].shape, [function(*items) for items in zip(*(grid.items for grid in grids), strict=True)])

    return truth


def _rowwise(function: Callable[[list[Any]], list[Any]]) -> Callable[[Operands, Args], Grid]:
    """The truth of a function from a row of x to a row (or to one number, given as a list of one)."""

    def truth(t: Operands, _: Args) -> Grid:
        rows = [function(list(row.items)) for row in t["x"].rows()]
        width = len(rows[0])
        shape = (len(rows),) if width == 1 else (len(rows), width)
        return Grid(shape, [item for row in rows for item in row])

    return truth


def _running(row: list[Any]) -> list[Any]:
    return [total(row[: place + 1]) for place in range(len(row))]


def _with_vector(function: Each) -> Callable[[Operands, Args], Grid]:
    """The truth of a function of x[n, j] and v[j]."""

    def truth(t: Operands, _: Args) -> Grid:
        x, v = t["x"], t["v"]
        return make(x.shape, lambda n, j: function(x[n, j], v[j]))

    return truth


def _summed(function: Each) -> Callable[[Operands, Args], Grid]:
    """The truth of the sum over all elements of a function of x and the other operands."""
    each = _each(function)
    return lambda t, args: Grid((), [total(each(t, args).items) * args.get("scale", 1)])


def _pool(pick: Callable[[list[Any]], Any]) -> Callable[[Operands, Args], Grid]:
    """The truth of pooling: `pick` makes one number of the numbers in each window."""

    def truth(t: Operands, args: Args) -> Grid:
        x, size, stride = t["x"], args["size"], args["stride"]
        down, across = ((length - size) // stride + 1 for length in x.shape[2:])
        window = list(product(range(size), range(size)))
        return make(
            (*x.shape[:2], down, across),
            lambda n, c, i, j: pick([x[n, c, i * stride + p, j * stride + q] for p, q in window]),
        )

    return truth


def _largest(numbers: list[Any]) -> Any:
    return max(numbers, key=value_of)


def _mean(numbers: list[Any]) -> Any:
    return total(numbers) * (1 / len(numbers))


def _nll(t: Operands, _: Args) -> Grid:
    x, index = t["x"], t["index"]
    return Grid((), [total(-x[n, index[n]] for n in range(x.shape[0]))])


def _sgd(t: Operands, args: Args) -> Grid:
    """Steps of gradient descent with momentum; the first step takes the gradient as the momentum."""

    def step(weight: Any, gradient: Any) -> Any:
        momentum = 0
        for _ in range(args["steps"]):
            momentum = args["momentum"] * momentum + gradient
            weight = weight - args["rate"] * momentum
        return weight

    return _each(step)({"w": t["w"], "gradient": t["gradient"]}, args)


def _layer(x: Grid, w: Grid, b: Grid | None = None) -> Grid:
    inner = range(w.shape[1])
    return make(
        (x.shape[0], w.shape[0]),
        lambda n, o: dot((x[n, k], w[o, k]) for k in inner) + (0 if b is None else b[o]),
    )


def _active(x: Grid) -> Grid:
    return Grid(x.shape, [_relu(item) for item in x.items])


def _net(t: Operands, _: Args) -> Grid:
    return _layer(_active(_layer(t["x"], t["w"], t["b"])), t["v"])


def _net_loss(t: Operands, args: Args) -> Grid:
    y, target = _net(t, args), t["target"]
    errors = [a - b for a, b in zip(y.items, target.items, strict=True)]
    return Grid((), [dot(zip(errors, errors, strict=True))])


def _residual(t: Operands, _: Args) -> Grid:
    x = t["x"]
    change = _layer(_active(_layer(x, t["w"])), t["v"])
    return Grid(x.shape, [a + b for a, b in zip(x.items, change.items, strict=True)])


def _tied(t: Operands, _: Args) -> Grid:
    return _layer(_layer(t["x"], t["w"]), t["w"])


def _mixer(t: Operands, _: Args) -> Grid:
    """Attention without its softmax: (q k^T) v."""
    q, k, v = t["q"], t["k"], t["v"]
    n, length, width = q.shape
    scores = make((n, length, length), lambda b, i, j: dot((q[b, i, c], k[b, j, c]) for c in range(width)))
    return make((n, length, width), lambda b, i, c: dot((scores[b, i, j], v[b, j, c]) for j in range(length)))


_FLAT = (Part("x", (7, 9), (3, 4)),)
_TWO = (Part("x", (7, 9), (3, 2)), Part("y", (7, 9), (3, 2)))
_VECTOR = (Part("x", (7, 9), (3, 2)), Part("v", (9,), (2,), shared=True))
_SIGNS = (Part("x", (7, 9), (3, 2), signs), Part("y", (7, 9), (3, 2), signs))
_IMAGE = (Part("x", (2, 2, 6, 6), (3, 1, 2, 2), distinct),)
_NET = (
    Part("x", (5, 4), (3, 2), signs),
    Part("w", (6, 4), (3, 2), signs, shared=True),
    Part("b", (6,), (3,), signs, shared=True),
    Part("v", (3, 6), (2, 3), signs, shared=True),
)

RECIPES = (
    Recipe("relu", _each(_relu), _FLAT),
    Recipe("leaky_relu", _each(lambda x: x if x > 0 else x * 0.5), _FLAT, args={"slope": 0.5}),
    Recipe("abs", _each(lambda x: x if x > 0 else -x), _FLAT),
    Recipe(
        "clamp",
        _each(lambda x: 2.5 if x > 2.5 else max(x, -2.5)),
        (Part("x", (7, 9), (3, 4), odds),),
        args={"bound": 2.5},
    ),
    Recipe(
        "maximum",
        _each(lambda x, y: max(y, x)),
        (Part("x", (7, 9), (3, 2), evens), Part("y", (7, 9), (3, 2), odds)),
    ),
    Recipe("square", _each(lambda x: x * x), _FLAT),
    Recipe("chain", _each(lambda x, y: x * y * x), _TWO),
    Recipe("subtract", _each(lambda x, y: x - y), _TWO),
    Recipe("addcmul", _each(lambda x, y, z: x + y * z * 2), (*_TWO, Part("z", (7, 9), (3, 2)))),
    Recipe("add_broadcast", _with_vector(lambda x, v: x + v), _VECTOR),
    Recipe("multiply_broadcast", _with_vector(lambda x, v: x * v), _VECTOR),
    Recipe("prelu", _with_vector(lambda x, v: x if x > 0 else x * v), _VECTOR),
    Recipe("cumsum", _rowwise(_running), _FLAT),
    Recipe("sum_rows", _rowwise(lambda row: [total(row)]), _FLAT),
    Recipe("mean_rows", _rowwise(lambda row: [_mean(row)]), (Part("x", (7, 8), (3, 4)),)),
    Recipe("amax", _rowwise(lambda row: [_largest(row)]), (Part("x", (7, 9), (3, 4), distinct),)),
    Recipe("sum", _summed(lambda x: x), _FLAT, batched=False),
    Recipe("squared_loss", _summed(lambda x, y: (x - y) * (x - y)), _SIGNS, batched=False),
    Recipe(
        "mean_squared_loss",
        _summed(lambda x, y: (x - y) * (x - y)),
        (Part("x", (4, 8), (3, 2), signs), Part("y", (4, 8), (3, 2), signs)),
        args={"scale": 1 / 32},
        batched=False,
        large=False,
    ),
    Recipe(
        "absolute_loss",
        _summed(lambda x, y: x - y if x > y else y - x),
        (Part("x", (5, 6), (3, 2), evens), Part("y", (5, 6), (3, 2), signs)),
        batched=False,
    ),
    Recipe(
        "nll_loss",
        _nll,
        (Part("x", (7, 9), (3, 3)), Part("index", (7,), (3,), below(9), "index", narrow_palette=below(3))),
        batched=False,
    ),
    Recipe("max_pool2d", _pool(_largest), _IMAGE, args={"size": 2, "stride": 2}),
    Recipe(
        "max_pool2d_overlapping",
        _pool(_largest),
        (Part("x", (2, 2, 7, 7), (3, 1, 3, 3), distinct),),
        op="max_pool2d",
        args={"size": 3, "stride": 2},
        narrow_args={"size": 2, "stride": 1},
    ),
    Recipe("avg_pool2d", _pool(_mean), (Part("x", (2, 2, 6, 6), (3, 1, 2, 2)),), args={"size": 2, "stride": 2}),
    Recipe(
        "adaptive_avg_pool2d",
        _pool(_mean),
        (Part("x", (2, 3, 4, 4), (3, 1, 2, 2)),),
        args={"size": 2, "stride": 2, "to": 2},
        narrow_args={"size": 2, "stride": 2, "to": 1},
    ),
    Recipe(
        "sgd",
        _sgd,
        (Part("w", (7, 9), (3, 2), kind="constant"), Part("gradient", (7, 9), (3, 2), kind="constant")),
        args={"rate": 0.5, "momentum": 0.5, "steps": 3},
    ),
    Recipe("two_layers", _net, _NET),
    Recipe(
        "two_layers_loss",
        _net_loss,
        (
            Part("x", (2, 2), (3, 2), signs),
            Part("w", (2, 2), (2, 2), signs, shared=True),
            Part("b", (2,), (2,), signs, shared=True),
            Part("v", (1, 2), (1, 2), signs, shared=True),
            Part("target", (2, 1), (3, 1), signs),
        ),
        batched=False,
    ),
    Recipe(
        "residual",
        _residual,
        (
            Part("x", (5, 4), (3, 2), small),
            Part("w", (6, 4), (3, 2), signs, shared=True),
            Part("v", (4, 6), (2, 3), signs, shared=True),
        ),
    ),
    Recipe("tied_weights", _tied, (Part("x", (4, 5), (3, 2), signs), Part("w", (5, 5), (2, 2), signs, shared=True))),
    Recipe(
        "mixer",
        _mixer,
        (
            Part("q", (3, 5, 4), (3, 2, 2), signs),
            Part("k", (3, 5, 4), (3, 2, 2), signs),
            Part("v", (3, 5, 4), (3, 2, 2), signs),
        ),
    ),
)
