"""Exact cases: matrix products, einsum and convolutions, written as sums of products."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from envcheck.gradients.dual import Grid, dot, make
from envcheck.gradients.recipe import Operands, Part, Recipe, signs

Args = Mapping[str, Any]


def _matmul(t: Operands, _: Args) -> Grid:
    a, b = t["a"], t["b"]
    inner = range(b.shape[0])
    return make((a.shape[0], b.shape[1]), lambda i, j: dot((a[i, k], b[k, j]) for k in inner))


def _matvec(t: Operands, _: Args) -> Grid:
    a, v = t["a"], t["v"]
    return make(a.shape[:1], lambda i: dot((a[i, k], v[k]) for k in range(v.shape[0])))


def _batched(t: Operands, _: Args) -> Grid:
    a, b = t["a"], t["b"]
    inner = range(b.shape[1])
    return make((*a.shape[:2], b.shape[2]), lambda n, i, j: dot((a[n, i, k], b[n, k, j]) for k in inner))


def _batched_flipped(t: Operands, args: Args) -> Grid:
    out = _batched(t, args)
    n, rows, columns = out.shape
    return make((n, columns, rows), lambda m, j, i: out[m, i, j])


def _broadcast(t: Operands, _: Args) -> Grid:
    a, b = t["a"], t["b"]
    inner = range(b.shape[0])
    return make((*a.shape[:2], b.shape[1]), lambda n, i, j: dot((a[n, i, k], b[k, j]) for k in inner))


def _addmm(t: Operands, args: Args) -> Grid:
    c, out = t["c"], _matmul(t, args)
    return make(c.shape, lambda i, j: c[i, j] * args["beta"] + out[i, j] * args["alpha"])


def _linear(t: Operands, _: Args) -> Grid:
    x, w, b = t["x"], t["w"], t.get("b")
    inner = range(w.shape[1])

    def entry(n: int, o: int) -> Any:
        weighted = dot((x[n, k], w[o, k]) for k in inner)
        return weighted if b is None else weighted + b[o]

    return make((x.shape[0], w.shape[0]), entry)


def _bilinear(t: Operands, _: Args) -> Grid:
    x, w, y = t["x"], t["w"], t["y"]
    pairs = list(product(range(w.shape[0]), range(w.shape[1])))
    return make(x.shape[:1], lambda n: dot((x[n, i] * w[i, j], y[n, j]) for i, j in pairs))


def _outer(t: Operands, _: Args) -> Grid:
    x, y = t["x"], t["y"]
    return make((*x.shape, y.shape[1]), lambda n, i, j: x[n, i] * y[n, j])


def _windows(x: Grid, w: Grid, where: tuple[int, ...], args: Args) -> Iterator[tuple[Any, Any]]:
    """The products that one output element of a convolution sums: `where` is (n, o, place along each axis...)."""
    n, o, *place = where
    stride, padding, dilation = args.get("stride", 1), args.get("padding", 0), args.get("dilation", 1)
    per_group = w.shape[1]
    first = o // (w.shape[0] // args.get("groups", 1)) * per_group
    for offset in product(*map(range, w.shape[2:])):
        source = [at * stride + step * dilation - padding for at, step in zip(place, offset, strict=True)]
        if all(0 <= at < length for at, length in zip(source, x.shape[2:], strict=True)):
            for c in range(per_group):
                taken, weighted = (n, first + c, *source), (o, c, *offset)
                yield x[taken], w[weighted]


def _conv(t: Operands, args: Args) -> Grid:
    x, w, b = t["x"], t["w"], t.get("b")
    reach = args.get("dilation", 1)
    spatial = [
        (length + 2 * args.get("padding", 0) - reach * (kernel - 1) - 1) // args.get("stride", 1) + 1
        for length, kernel in zip(x.shape[2:], w.shape[2:], strict=True)
    ]

    def entry(*where: int) -> Any:
        weighted = dot(_windows(x, w, where, args))
        return weighted if b is None else weighted + b[where[1]]

    return make((x.shape[0], w.shape[0], *spatial), entry)


def _conv_transpose(t: Operands, args: Args) -> Grid:
    x, w = t["x"], t["w"]
    stride, padding = args["stride"], args["padding"]
    spatial = [
        (length - 1) * stride - 2 * padding + kernel + args.get("output_padding", 0)
        for length, kernel in zip(x.shape[2:], w.shape[2:], strict=True)
    ]

    def entry(n: int, o: int, i: int, j: int) -> Any:
        pairs = []
        for c, h, v in product(*map(range, x.shape[1:])):
            p, q = i + padding - h * stride, j + padding - v * stride
            if 0 <= p < w.shape[2] and 0 <= q < w.shape[3]:
                pairs.append((x[n, c, h, v], w[c, o, p, q]))
        return dot(pairs)

    return make((x.shape[0], w.shape[1], *spatial), entry)


_WEIGHT = Part("w", (11, 17), (2, 3), shared=True)
_SQUARE = {"padding": 1}

RECIPES = (
    Recipe("matmul", _matmul, (Part("a", (9, 17), (3, 3)), Part("b", (17, 11), (3, 2), shared=True))),
    Recipe("matvec", _matvec, (Part("a", (9, 17), (3, 4)), Part("v", (17,), (4,), shared=True))),
    Recipe("bmm", _batched, (Part("a", (3, 5, 7), (3, 2, 3)), Part("b", (3, 7, 6), (3, 3, 2)))),
    Recipe(
        "matmul_broadcast",
        _broadcast,
        (Part("a", (3, 5, 7), (3, 2, 3)), Part("b", (7, 6), (3, 2), shared=True)),
        op="matmul",
    ),
    Recipe(
        "addmm",
        _addmm,
        (Part("c", (9, 11), (3, 2)), Part("a", (9, 7), (3, 3)), Part("b", (7, 11), (3, 2), shared=True)),
        args={"beta": 2, "alpha": -1},
    ),
    Recipe("linear", _linear, (Part("x", (9, 17), (3, 3)), _WEIGHT, Part("b", (11,), (2,), shared=True))),
    Recipe("linear_without_bias", _linear, (Part("x", (9, 17), (3, 3)), _WEIGHT), op="linear"),
    Recipe(
        "einsum_bilinear",
        _bilinear,
        (
            Part("x", (7, 9), (3, 2), signs),
            Part("w", (9, 8), (2, 2), signs, shared=True),
            Part("y", (7, 8), (3, 2), signs),
        ),
        op="einsum",
        args={"equation": "bi,ij,bj->b"},
    ),
    Recipe(
        "einsum_outer",
        _outer,
        (Part("x", (5, 7), (3, 2)), Part("y", (5, 6), (3, 2))),
        op="einsum",
        args={"equation": "bi,bj->bij"},
    ),
    Recipe(
        "einsum_flipped",
        _batched_flipped,
        (Part("a", (3, 5, 7), (3, 2, 3)), Part("b", (3, 7, 6), (3, 3, 2))),
        op="einsum",
        args={"equation": "bij,bjk->bki"},
    ),
    Recipe(
        "conv1d",
        _conv,
        (
            Part("x", (3, 2, 11), (3, 1, 2)),
            Part("w", (4, 2, 3), (2, 1, 2), shared=True),
            Part("b", (4,), (2,), shared=True),
        ),
        args=_SQUARE,
        narrow_args={},
    ),
    Recipe(
        "conv2d",
        _conv,
        (
            Part("x", (3, 2, 6, 6), (3, 1, 2, 2), signs),
            Part("w", (4, 2, 3, 3), (2, 1, 2, 2), shared=True),
            Part("b", (4,), (2,), shared=True),
        ),
        args=_SQUARE,
        narrow_args={},
    ),
    Recipe(
        "conv2d_stride2",
        _conv,
        (
            Part("x", (3, 2, 7, 7), (3, 1, 1, 3)),
            Part("w", (4, 2, 3, 3), (2, 1, 1, 2), shared=True),
            Part("b", (4,), (2,), shared=True),
        ),
        op="conv2d",
        args={"stride": 2, "padding": 1},
        narrow_args={"stride": 2},
    ),
    Recipe(
        "conv2d_dilated",
        _conv,
        (Part("x", (2, 2, 7, 7), (3, 1, 1, 3), signs), Part("w", (3, 2, 3, 3), (2, 1, 1, 2), shared=True)),
        op="conv2d",
        args={"padding": 2, "dilation": 2},
        narrow_args={"dilation": 2},
    ),
    Recipe(
        "conv2d_grouped",
        _conv,
        (Part("x", (2, 4, 5, 5), (3, 2, 1, 2)), Part("w", (6, 2, 3, 3), (2, 1, 1, 2), shared=True)),
        op="conv2d",
        args={"groups": 2},
    ),
    Recipe(
        "conv2d_depthwise",
        _conv,
        (Part("x", (2, 6, 5, 5), (3, 2, 1, 2)), Part("w", (6, 1, 3, 3), (2, 1, 1, 2), shared=True)),
        op="conv2d",
        args={"groups": 6},
        narrow_args={"groups": 2},
    ),
    Recipe(
        "conv2d_pointwise",
        _conv,
        (Part("x", (2, 5, 4, 4), (3, 2, 1, 1)), Part("w", (7, 5, 1, 1), (2, 2, 1, 1), shared=True)),
        op="conv2d",
    ),
    Recipe(
        "conv_transpose2d",
        _conv_transpose,
        (Part("x", (2, 3, 4, 4), (3, 1, 1, 1)), Part("w", (3, 2, 3, 3), (1, 1, 1, 2), shared=True)),
        args={"stride": 2, "padding": 1, "output_padding": 1},
        narrow_args={"stride": 2, "padding": 0, "output_padding": 0},
    ),
    Recipe(
        "conv3d",
        _conv,
        (Part("x", (2, 2, 4, 4, 4), (3, 1, 1, 1, 2)), Part("w", (3, 2, 2, 2, 2), (2, 1, 1, 1, 2), shared=True)),
    ),
)
