"""Back-propagation worker, random layer: real operations on drawn numbers, beside the same in float64 on the CPU."""

import random

from backprop_exact import Call
from backprop_kit import Blobs, Kit, describe, encode, raw_bytes


def _attention(c):
    return c.functional.scaled_dot_product_attention(c["q"], c["k"], c["v"])


def _lstm(c):
    weights = [c["wi"], c["wh"], c["bi"], c["bh"]]
    return c.torch.lstm(c["x"], (c["h"], c["c"]), weights, True, 1, 0.0, True, False, False)[0]


def _complex(c):
    product = c.torch.matmul(c.torch.complex(c["ar"], c["ai"]), c.torch.complex(c["br"], c["bi"]))
    return c.torch.view_as_real(product)


def _adam(c):
    from torch.optim import adam

    # torch.optim.Adam itself would import torch._dynamo: 1.3 s. This is the function that its step calls.
    weight = c["w"].clone()
    zeros = [c.torch.zeros_like(weight) for _ in range(2)]
    steps = [c.torch.zeros(())]
    for name in ("g1", "g2", "g3"):
        adam.adam(
            [weight],
            [c[name]],
            zeros[:1],
            zeros[1:],
            [],
            steps,
            foreach=False,
            amsgrad=False,
            beta1=0.9,
            beta2=0.99,
            lr=0.125,
            weight_decay=0.0,
            eps=1e-6,
            maximize=False,
        )
    return weight


class Op:
    """One operation: the shapes of its leaves, its fixed indices (shape, bound), and what it does.

    `scale` multiplies the drawn leaves. `differentiable`: else only the output is compared. `dtypes`: those it is
    made for, all where it is None.
    """

    def __init__(self, run, leaves, fixed=None, scale=None, differentiable=True, dtypes=None):
        self.run, self.leaves, self.fixed = run, leaves, fixed or {}
        self.scale, self.differentiable, self.dtypes = scale or {}, differentiable, dtypes


RANDOM = {
    "linear": Op(lambda c: c.functional.linear(c["x"], c["w"], c["b"]), {"x": (9, 33), "w": (21, 33), "b": (21,)}),
    "conv2d": Op(
        lambda c: c.functional.conv2d(c["x"], c["w"], c["b"], padding=1),
        {"x": (2, 3, 9, 9), "w": (5, 3, 3, 3), "b": (5,)},
    ),
    "conv2d_stride2": Op(
        lambda c: c.functional.conv2d(c["x"], c["w"], None, stride=2), {"x": (2, 3, 9, 9), "w": (5, 3, 3, 3)}
    ),
    "attention": Op(_attention, {"q": (2, 2, 11, 8), "k": (2, 2, 11, 8), "v": (2, 2, 11, 8)}),
    "layer_norm": Op(
        lambda c: c.functional.layer_norm(c["x"], c["w"].shape, c["w"], c["b"]),
        {"x": (7, 37), "w": (37,), "b": (37,)},
    ),
    "batch_norm": Op(
        lambda c: c.functional.batch_norm(c["x"], None, None, c["w"], c["b"], True),
        {"x": (5, 4, 3, 5), "w": (4,), "b": (4,)},
    ),
    "cross_entropy": Op(
        lambda c: c.functional.cross_entropy(c["x"], c["index"]),
        {"x": (9, 17)},
        {"index": ((9,), 17)},
        scale={"x": 2.0},
    ),
    "softmax": Op(lambda c: c.torch.softmax(c["x"], 1), {"x": (9, 17)}, scale={"x": 2.0}),
    "gelu": Op(lambda c: c.functional.gelu(c["x"]), {"x": (3, 41)}, scale={"x": 1.5}),
    "tanh_sigmoid": Op(lambda c: c.torch.tanh(c["x"]) * c.torch.sigmoid(c["y"]), {"x": (3, 41), "y": (3, 41)}),
    "lstm": Op(
        _lstm,
        {
            "x": (5, 3, 6),
            "h": (1, 3, 7),
            "c": (1, 3, 7),
            "wi": (28, 6),
            "wh": (28, 7),
            "bi": (28,),
            "bh": (28,),
        },
        scale={"wi": 0.5, "wh": 0.5, "bi": 0.5, "bh": 0.5},
    ),
    "embedding": Op(lambda c: c.functional.embedding(c["index"], c["w"]), {"w": (13, 9)}, {"index": ((25,), 13)}),
    "norm": Op(lambda c: c["x"].norm(2, 1), {"x": (5, 19)}),
    "cumsum": Op(lambda c: c["x"].cumsum(1), {"x": (5, 33)}),
    "complex_matmul": Op(_complex, {"ar": (5, 7), "ai": (5, 7), "br": (7, 6), "bi": (7, 6)}, dtypes=("float32",)),
    "adam": Op(_adam, {"w": (57,), "g1": (57,), "g2": (57,), "g3": (57,)}, differentiable=False),
}

NARROW = ("bfloat16", "float16")
DRAWS = 4
STEP = 2.0**-20
"""Relative change of the inputs by which the condition of a computation is measured."""
STENCIL = 2.0**-13


def operands(torch, op, name, seed, narrow):
    """Leaves and fixed indices as float64 CPU tensors whose numbers float32 (or bfloat16 and float16) holds exactly.

    Of magnitude 2**-6 to 1, times the scale: bfloat16's numbers there are float16's too.
    """
    generator = random.Random("%s/%d" % (name, seed))
    found = {}
    for leaf, shape in op.leaves.items():
        tensor = _drawn(torch, generator, shape, op.scale.get(leaf, 1.0))
        found[leaf] = (tensor.bfloat16() if narrow else tensor.float()).double()
    for key, (shape, bound) in op.fixed.items():
        values = [int(generator.random() * bound) for _ in range(_count(shape))]
        found[key] = torch.tensor(values, dtype=torch.int64).reshape(shape)
    return found


def _count(shape):
    count = 1
    for length in shape:
        count *= length
    return count


def _drawn(torch, generator, shape, scale):
    values = []
    for _ in range(_count(shape)):
        size = 2.0**-6 + (1 - 2.0**-6) * generator.random()
        values.append(scale * (size if generator.random() < 0.5 else -size))
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


class RandomCase:
    """One operation with the numbers of one seed: `narrow` ones for bfloat16 and float16, else float32's."""

    def __init__(self, torch, name, seed, narrow):
        self.torch, self.op = torch, RANDOM[name]
        self.numbers = operands(torch, self.op, name, seed, narrow)
        self._generator = random.Random("%s/%d/upstream" % (name, seed))
        self._upstream = None
        self._narrow = narrow

    def upstream(self, shape):
        """The upstream gradient, the same for every dtype and device."""
        if self._upstream is None:
            drawn = _drawn(self.torch, self._generator, tuple(shape), 1.0)
            self._upstream = (drawn.bfloat16() if self._narrow else drawn.float()).double()
        return self._upstream

    def run(self, kit, dtype, change=None, only_out=False):
        """Output and gradients; `change` maps a leaf's name (or `upstream`) and float64 numbers to other numbers."""
        tensors = dict(self.numbers)
        for leaf in self.op.leaves:
            number = tensors[leaf] if change is None else change(leaf, tensors[leaf])
            wanted = self.op.differentiable and not only_out
            tensors[leaf] = number.to(dtype).to(kit.device).detach().requires_grad_(wanted)
        for key in self.op.fixed:
            tensors[key] = tensors[key].to(kit.device)
        out = self.op.run(Call(kit, {}, tensors))
        if only_out or not self.op.differentiable:
            return [out.detach()]
        gradient = self.upstream(out.shape)
        gradient = gradient if change is None else change("upstream", gradient)
        kit.backward(out, gradient.to(dtype).to(kit.device))
        return [out.detach()] + [tensors[leaf].grad for leaf in self.op.leaves]


class Signs:
    """A tensor of 1 and -1 for each leaf, drawn with a seed."""

    def __init__(self, torch, seed):
        self.torch, self.seed = torch, seed

    def __call__(self, leaf, like):
        """The signs for the leaf of that name, in the shape of `like`."""
        generator = random.Random("%s/%d/signs" % (leaf, self.seed))
        signs = [1.0 if generator.random() < 0.5 else -1.0 for _ in range(like.numel())]
        return self.torch.tensor(signs, dtype=self.torch.float64).reshape(like.shape)

    def times(self, step):
        """A change by a relative step."""
        return lambda leaf, number: number * (1 + step * self(leaf, number))

    def plus(self, step):
        """A change by an absolute step."""
        return lambda leaf, number: number + step * self(leaf, number)


def reference_step(torch, name, seed, narrow):
    """The float64 CPU reference: every tensor, how far it moves with its inputs, and a directional derivative."""
    kit, case = Kit(torch, "cpu"), RandomCase(torch, name, seed, narrow)
    tensors = case.run(kit, torch.float64)
    legs = ["out"] + (list(case.op.leaves) if case.op.differentiable else [])
    value = {
        "legs": legs,
        "shapes": [list(tensor.shape) for tensor in tensors],
        "exact": encode([raw_bytes(torch, tensor.reshape(-1)) for tensor in tensors]),
    }
    if not narrow:
        value["spread"] = encode(
            [raw_bytes(torch, each.reshape(-1).float()) for each in spread(torch, kit, case, tensors)]
        )
        if case.op.differentiable:
            value["slope"] = directional(kit, case, tensors[1:])
    return value


def spread(torch, kit, case, tensors):
    """Root mean square over a few draws of the change under a relative change of all inputs, per unit of it.

    The upstream gradient is an input too: a bias gradient is its sum and nothing else.
    """
    squares = [torch.zeros_like(tensor) for tensor in tensors]
    for draw in range(DRAWS):
        moved = case.run(kit, torch.float64, Signs(torch, draw).times(STEP))
        for square, tensor, other in zip(squares, tensors, moved):
            square.add_(((other - tensor) / STEP) ** 2)
    return [(square / DRAWS).sqrt() for square in squares]


def directional(kit, case, gradients):
    """The derivative of <upstream, output> along a direction: from the gradients, and from five-point differences."""
    signs = Signs(kit.torch, DRAWS)

    def loss(step):
        out = case.run(kit, kit.torch.float64, signs.plus(step), only_out=True)[0]
        return float((out * case.upstream(out.shape)).sum())

    pairs = zip(case.op.leaves, gradients)
    analytic = sum(float((gradient * signs(leaf, gradient)).sum()) for leaf, gradient in pairs)
    points = [loss(step * STENCIL) for step in (-2, -1, 1, 2)]
    numeric = (points[0] - 8 * points[1] + 8 * points[2] - points[3]) / (12 * STENCIL)
    return {"analytic": analytic.hex(), "numeric": numeric.hex(), "size": max(abs(point) for point in points).hex()}


def random_step(kit, name, seed, dtype):
    """One operation in one dtype, three times on the same numbers: the bits of each time."""
    case, blobs = RandomCase(kit.torch, name, seed, dtype in NARROW), Blobs()
    runs = [blobs.add(kit.fetch(case.run(kit, kit.dtype(dtype)))) for _ in range(3)]
    return dict(blobs.value(), runs=runs)
