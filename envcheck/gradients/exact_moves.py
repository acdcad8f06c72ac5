"""Exact cases that move, pick, repeat or drop elements: the backward pass must bring each gradient home."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from envcheck.gradients.dual import Grid, make, total, value_of
from envcheck.gradients.recipe import Operands, Part, Recipe, below, distinct

Args = Mapping[str, Any]


def _embedding(t: Operands, args: Args) -> Grid:
    w, index = t["w"], t["index"]
    # The padding row is read like any other and gets no gradient.
    pad = args.get("padding_idx")

    def entry(*where: int) -> Any:
        row = index[where[:-1]]
        return value_of(w[row, where[-1]]) if row == pad else w[row, where[-1]]

    return make((*index.shape, w.shape[1]), entry)


def _embedding_bag(t: Operands, _: Args) -> Grid:
    w, index = t["w"], t["index"]
    bag = range(index.shape[1])
    return make((index.shape[0], w.shape[1]), lambda n, j: total(w[index[n, k], j] for k in bag))


def _gather(t: Operands, _: Args) -> Grid:
    x, index = t["x"], t["index"]
    return make(index.shape, lambda n, j: x[n, index[n, j]])


def _scatter_add(t: Operands, _: Args) -> Grid:
    x, index, source = t["x"], t["index"], t["source"]
    columns = range(index.shape[1])
    return make(x.shape, lambda n, j: total((x[n, j], *(source[n, k] for k in columns if index[n, k] == j))))


def _index_select(t: Operands, _: Args) -> Grid:
    x, index = t["x"], t["index"]
    return make((x.shape[0], index.shape[0]), lambda n, j: x[n, index[j]])


def _index_add(t: Operands, _: Args) -> Grid:
    x, index, source = t["x"], t["index"], t["source"]
    columns = range(index.shape[0])
    return make(x.shape, lambda n, j: total((x[n, j], *(source[n, k] for k in columns if index[k] == j))))


def _pick(t: Operands, _: Args) -> Grid:
    x, row, column = t["x"], t["row"], t["column"]
    return make(row.shape, lambda n: x[row[n], column[n]])


def _where(t: Operands, _: Args) -> Grid:
    x, y, mask = t["x"], t["y"], t["mask"]
    return make(x.shape, lambda n, j: x[n, j] if mask[n, j] else y[n, j])


def _masked_fill(t: Operands, args: Args) -> Grid:
    x, mask = t["x"], t["mask"]
    return make(x.shape, lambda n, j: args["value"] if mask[n, j] else x[n, j])


def _moved(shape: Callable[[Grid, Args], tuple[int, ...]], source: Callable[..., tuple[int, ...] | None]) -> Any:
    """A truth that copies: the output element at an index is x at `source(x, args, *index)`, or 0 for None."""

    def truth(t: Operands, args: Args) -> Grid:
        x = t["x"]

        def entry(*index: int) -> Any:
            found = source(x, args, *index)
            return 0 if found is None else x[found]

        return make(shape(x, args), entry)

    return truth


def _same(x: Grid, _: Args) -> tuple[int, ...]:
    return x.shape


def _reflected(place: int, length: int) -> int:
    return -place if place < 0 else 2 * (length - 1) - place if place >= length else place


_flip = _moved(_same, lambda x, _, n, j: (n, x.shape[1] - 1 - j))
_roll = _moved(_same, lambda x, args, n, j: (n, (j - args["shift"]) % x.shape[1]))
_pad = _moved(
    lambda x, args: (x.shape[0], x.shape[1] + sum(args["pad"])),
    lambda x, args, n, j: (n, j - args["pad"][0]) if 0 <= j - args["pad"][0] < x.shape[1] else None,
)
_pad_reflect = _moved(
    lambda x, args: (*x.shape[:2], x.shape[2] + sum(args["pad"])),
    lambda x, args, n, c, j: (n, c, _reflected(j - args["pad"][0], x.shape[2])),
)
_transpose = _moved(
    lambda x, _: (x.shape[0], x.shape[1] * x.shape[2]), lambda x, _, n, j: (n, j % x.shape[1], j // x.shape[1])
)
_diagonal = _moved(lambda x, _: x.shape[:2], lambda _x, _, n, j: (n, j, j))
_tril = _moved(_same, lambda _x, _, n, i, j: (n, i, j) if j <= i else None)
_step = _moved(lambda x, _: (x.shape[0], x.shape[1] // 2), lambda _x, _, n, j: (n, 2 * j + 1))
_expand = _moved(lambda x, args: (x.shape[0], args["times"]), lambda _x, _, n, _j: (n, 0))
_repeat = _moved(
    lambda x, args: (x.shape[0], x.shape[1] * args["times"]), lambda _x, args, n, j: (n, j // args["times"])
)
_tile = _moved(lambda x, _: (x.shape[0], x.shape[1] * 2), lambda x, _, n, j: (n, j % x.shape[1]))
_swap_halves = _moved(_same, lambda x, args, n, j: (n, (j + args["first"]) % x.shape[1]))
_pixel_shuffle = _moved(
    lambda x, args: (
        x.shape[0],
        x.shape[1] // args["factor"] ** 2,
        x.shape[2] * args["factor"],
        x.shape[3] * args["factor"],
    ),
    lambda _x, args, n, c, i, j: (
        n,
        (c * args["factor"] + i % args["factor"]) * args["factor"] + j % args["factor"],
        i // args["factor"],
        j // args["factor"],
    ),
)


def _unfold(t: Operands, args: Args) -> Grid:
    x, size = t["x"], args["size"]
    down, across = x.shape[2] - size + 1, x.shape[3] - size + 1
    windows = list(product(range(x.shape[1]), range(size), range(size)))

    def entry(n: int, window: int, place: int) -> Any:
        c, p, q = windows[window]
        return x[n, c, place // across + p, place % across + q]

    return make((x.shape[0], len(windows), down * across), entry)


def _cat(t: Operands, _: Args) -> Grid:
    x, y = t["x"], t["y"]
    width = x.shape[1]
    return make((x.shape[0], width + y.shape[1]), lambda n, j: x[n, j] if j < width else y[n, j - width])


def _stack(t: Operands, _: Args) -> Grid:
    x, y = t["x"], t["y"]
    return make((x.shape[0], 2, x.shape[1]), lambda n, k, j: (y if k else x)[n, j])


def _sorted(t: Operands, args: Args) -> Grid:
    x = t["x"]
    rows = [sorted(row.items, key=value_of, reverse=args["descending"]) for row in x.rows()]
    keep = args.get("keep", x.shape[1])
    return make((x.shape[0], keep), lambda n, j: rows[n][j])


_FLAT = (Part("x", (7, 9), (3, 4)),)
_PAIRED = (Part("x", (7, 9), (3, 2)), Part("y", (7, 9), (3, 2)))

RECIPES = (
    Recipe(
        "embedding",
        _embedding,
        (
            Part("w", (9, 6), (4, 2), shared=True),
            Part("index", (13,), (3,), below(9), "index", narrow_palette=below(4)),
        ),
    ),
    Recipe(
        "embedding_padding",
        _embedding,
        (
            Part("w", (5, 6), (4, 2), shared=True),
            Part("index", (5, 4), (3, 2), below(5), "index", narrow_palette=below(4)),
        ),
        op="embedding",
        args={"padding_idx": 2},
    ),
    Recipe(
        "embedding_bag",
        _embedding_bag,
        (
            Part("w", (9, 6), (4, 2), shared=True),
            Part("index", (6, 4), (3, 2), below(9), "index", narrow_palette=below(4)),
        ),
    ),
    Recipe(
        "gather",
        _gather,
        (Part("x", (7, 9), (3, 3)), Part("index", (7, 5), (3, 2), below(9), "index", narrow_palette=below(3))),
    ),
    Recipe(
        "scatter_add",
        _scatter_add,
        (
            Part("x", (7, 6), (3, 2)),
            Part("index", (7, 9), (3, 3), below(6), "index", narrow_palette=below(2)),
            Part("source", (7, 9), (3, 3)),
        ),
    ),
    Recipe(
        "index_select",
        _index_select,
        (
            Part("x", (6, 9), (3, 3)),
            Part("index", (5,), (2,), below(9), "index", shared=True, narrow_palette=below(3)),
        ),
    ),
    Recipe(
        "index_add",
        _index_add,
        (
            Part("x", (7, 6), (3, 2)),
            Part("index", (9,), (3,), below(6), "index", shared=True, narrow_palette=below(2)),
            Part("source", (7, 9), (3, 3)),
        ),
    ),
    Recipe(
        "indexing",
        _pick,
        (
            Part("x", (8, 9), (4, 3), shared=True),
            Part("row", (17,), (3,), below(8), "index", narrow_palette=below(4)),
            Part("column", (17,), (3,), below(9), "index", narrow_palette=below(3)),
        ),
    ),
    Recipe("where", _where, (*_PAIRED, Part("mask", (7, 9), (3, 2), below(2), "mask"))),
    Recipe(
        "masked_fill",
        _masked_fill,
        (Part("x", (7, 9), (3, 4)), Part("mask", (7, 9), (3, 4), below(2), "mask")),
        args={"value": 5},
    ),
    Recipe("flip", _flip, _FLAT),
    Recipe("roll", _roll, _FLAT, args={"shift": 2}),
    Recipe("pad", _pad, _FLAT, args={"pad": [1, 2]}),
    Recipe("pad_reflect", _pad_reflect, (Part("x", (3, 2, 7), (3, 1, 4)),), args={"pad": [2, 3]}),
    Recipe("transpose", _transpose, (Part("x", (4, 5, 6), (3, 2, 2)),)),
    Recipe("diagonal", _diagonal, (Part("x", (4, 5, 5), (3, 2, 2)),)),
    Recipe("tril", _tril, (Part("x", (3, 5, 5), (3, 2, 2)),)),
    Recipe("strided_slice", _step, _FLAT),
    Recipe("expand", _expand, (Part("x", (7, 1), (3, 1)),), args={"times": 5}),
    Recipe("repeat_interleave", _repeat, _FLAT, args={"times": 3}),
    Recipe("tile", _tile, _FLAT),
    Recipe("split_and_cat", _swap_halves, (Part("x", (7, 9), (3, 5)),), args={"first": 4}),
    Recipe("pixel_shuffle", _pixel_shuffle, (Part("x", (2, 8, 3, 3), (3, 4, 1, 1)),), args={"factor": 2}),
    Recipe("unfold", _unfold, (Part("x", (2, 2, 5, 5), (3, 1, 2, 2)),), args={"size": 3}, large=False),
    Recipe("cat", _cat, (Part("x", (5, 4), (3, 2)), Part("y", (5, 3), (3, 1)))),
    Recipe("stack", _stack, _PAIRED),
    Recipe("sort", _sorted, (Part("x", (7, 17), (3, 4), distinct),), args={"descending": False}),
    Recipe("sort_descending", _sorted, (Part("x", (7, 9), (3, 4), distinct),), op="sort", args={"descending": True}),
    Recipe("topk", _sorted, (Part("x", (7, 9), (3, 4), distinct),), args={"keep": 3, "descending": True}),
)
