"""Back-propagation worker, exact layer: what each operation is in torch, and the passes that a case is run through."""

from backprop_kit import Blobs, describe, encode, raw_bytes, strided


class Call(dict):
    """One call of an operation: its tensors by name, its arguments, and where to find functions."""

    def __init__(self, kit, args, tensors):
        super().__init__(tensors)
        self.torch, self.functional, self.args = kit.torch, kit.functional, args


def _sgd(c):
    from torch.optim import sgd

    weight, buffers = c["w"].clone(), [None]
    for _ in range(c.args["steps"]):
        sgd.sgd(
            [weight],
            [c["gradient"]],
            buffers,
            foreach=False,
            weight_decay=0.0,
            momentum=c.args["momentum"],
            lr=c.args["rate"],
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
    return weight


def _two_layers(c):
    return c.functional.linear(c.torch.relu(c.functional.linear(c["x"], c["w"], c.get("b"))), c["v"])


def _split_and_cat(c):
    x, first = c["x"], c.args["first"]
    return c.torch.cat(x.split([first, x.shape[1] - first], 1)[::-1], 1)


def _convolution(name):
    return lambda c: getattr(c.functional, name)(c["x"], c["w"], c.get("b"), **c.args)


EXACT = {
    "matmul": lambda c: c.torch.matmul(c["a"], c["b"]),
    "matvec": lambda c: c.torch.mv(c["a"], c["v"]),
    "bmm": lambda c: c.torch.bmm(c["a"], c["b"]),
    "addmm": lambda c: c.torch.addmm(c["c"], c["a"], c["b"], **c.args),
    "linear": lambda c: c.functional.linear(c["x"], c["w"], c.get("b")),
    "einsum": lambda c: c.torch.einsum(c.args["equation"], *c.values()),
    "conv1d": _convolution("conv1d"),
    "conv2d": _convolution("conv2d"),
    "conv3d": _convolution("conv3d"),
    "conv_transpose2d": _convolution("conv_transpose2d"),
    "embedding": lambda c: c.functional.embedding(c["index"], c["w"], padding_idx=c.args.get("padding_idx")),
    "embedding_bag": lambda c: c.functional.embedding_bag(c["index"], c["w"], mode="sum"),
    "gather": lambda c: c["x"].gather(1, c["index"]),
    "scatter_add": lambda c: c["x"].scatter_add(1, c["index"], c["source"]),
    "index_select": lambda c: c["x"].index_select(1, c["index"]),
    "index_add": lambda c: c["x"].index_add(1, c["index"], c["source"]),
    "indexing": lambda c: c["x"][c["row"], c["column"]],
    "where": lambda c: c.torch.where(c["mask"], c["x"], c["y"]),
    "masked_fill": lambda c: c["x"].masked_fill(c["mask"], c.args["value"]),
    "flip": lambda c: c["x"].flip(1),
    "roll": lambda c: c["x"].roll(c.args["shift"], 1),
    "pad": lambda c: c.functional.pad(c["x"], c.args["pad"]),
    "pad_reflect": lambda c: c.functional.pad(c["x"], c.args["pad"], mode="reflect"),
    "transpose": lambda c: c["x"].permute(0, 2, 1).reshape(c["x"].shape[0], -1),
    "diagonal": lambda c: c["x"].diagonal(dim1=1, dim2=2),
    "tril": lambda c: c["x"].tril(),
    "strided_slice": lambda c: c["x"][:, 1::2],
    "expand": lambda c: c["x"].expand(-1, c.args["times"]),
    "repeat_interleave": lambda c: c["x"].repeat_interleave(c.args["times"], 1),
    "tile": lambda c: c["x"].repeat(1, 2),
    "split_and_cat": _split_and_cat,
    "pixel_shuffle": lambda c: c.functional.pixel_shuffle(c["x"], c.args["factor"]),
    "unfold": lambda c: c.functional.unfold(c["x"], c.args["size"]),
    "cat": lambda c: c.torch.cat([c["x"], c["y"]], 1),
    "stack": lambda c: c.torch.stack([c["x"], c["y"]], 1),
    "sort": lambda c: c["x"].sort(1, descending=c.args["descending"])[0],
    "topk": lambda c: c["x"].topk(c.args["keep"], 1)[0],
    "relu": lambda c: c.torch.relu(c["x"]),
    "leaky_relu": lambda c: c.functional.leaky_relu(c["x"], c.args["slope"]),
    "abs": lambda c: c["x"].abs(),
    "clamp": lambda c: c["x"].clamp(-c.args["bound"], c.args["bound"]),
    "maximum": lambda c: c.torch.maximum(c["x"], c["y"]),
    "square": lambda c: c["x"] ** 2,
    "chain": lambda c: c["x"] * c["y"] * c["x"],
    "subtract": lambda c: c["x"] - c["y"],
    "addcmul": lambda c: c.torch.addcmul(c["x"], c["y"], c["z"], value=2),
    "add_broadcast": lambda c: c["x"] + c["v"],
    "multiply_broadcast": lambda c: c["x"] * c["v"],
    "prelu": lambda c: c.functional.prelu(c["x"], c["v"]),
    "cumsum": lambda c: c["x"].cumsum(1),
    "sum_rows": lambda c: c["x"].sum(1),
    "mean_rows": lambda c: c["x"].mean(1),
    "amax": lambda c: c["x"].amax(1),
    "sum": lambda c: c["x"].sum(),
    "squared_loss": lambda c: c.functional.mse_loss(c["x"], c["y"], reduction="sum"),
    "mean_squared_loss": lambda c: c.functional.mse_loss(c["x"], c["y"]),
    "absolute_loss": lambda c: c.functional.l1_loss(c["x"], c["y"], reduction="sum"),
    "nll_loss": lambda c: c.functional.nll_loss(c["x"], c["index"], reduction="sum"),
    "max_pool2d": lambda c: c.functional.max_pool2d(c["x"], c.args["size"], c.args["stride"]),
    "avg_pool2d": lambda c: c.functional.avg_pool2d(c["x"], c.args["size"], c.args["stride"]),
    "adaptive_avg_pool2d": lambda c: c.functional.adaptive_avg_pool2d(c["x"], c.args["to"]),
    "sgd": _sgd,
    "two_layers": _two_layers,
    "two_layers_loss": lambda c: c.functional.mse_loss(_two_layers(c), c["target"], reduction="sum"),
    "residual": lambda c: c["x"] + _two_layers(c),
    "tied_weights": lambda c: c.functional.linear(c.functional.linear(c["x"], c["w"]), c["w"]),
    "mixer": lambda c: c.torch.matmul(c.torch.matmul(c["q"], c["k"].transpose(1, 2)), c["v"]),
}
"""What each operation is in torch: from a call to its output."""


class ExactCase:
    """One case of the exact layer, in one dtype on one device."""

    def __init__(self, kit, case, pool, dtype):
        self.kit, self.case, self.pool = kit, case, pool
        self.dtype = kit.dtype(dtype)
        self.leaves = [operand["name"] for operand in case["operands"] if operand["kind"] == "leaf"]
        self.tensors = {operand["name"]: self._operand(operand) for operand in case["operands"]}

    def _operand(self, operand):
        kinds = {"index": self.kit.torch.int64, "mask": self.kit.torch.bool}
        tensor = self.kit.tensor(operand["shape"], operand["values"], kinds.get(operand["kind"], self.dtype))
        return self._tiled(tensor) if operand["batched"] else tensor

    def _tiled(self, tensor):
        """The rows repeated until the large batch is full; the tensor itself where the case has no such batch."""
        rows = self.case["rows"]
        if not rows:
            return tensor
        times = -(-rows // tensor.shape[0])
        return tensor.repeat(times, *[1] * (tensor.dim() - 1))[:rows].contiguous()

    def gradient(self, out, which):
        """The first or second upstream gradient for `out`."""
        begin = self.case["upstreams"][which]
        shape = list(out.shape)
        if self.case["rows"] and self.case["batched"]:
            shape[0] = next(operand["shape"][0] for operand in self.case["operands"] if operand["batched"])
        count = 1
        for length in shape:
            count *= length
        tensor = self.kit.tensor(shape, self.pool[begin : begin + count], self.dtype)
        return self._tiled(tensor) if self.case["batched"] else tensor

    def run(self, which=0, expanded=False, frozen="", layout=None, poison=False):
        """One forward and one backward pass: the output, and the gradients of the leaves that are not frozen."""
        tensors = dict(self.tensors)
        wanted = [name for name in self.leaves if name != frozen]
        for name in self.leaves:
            tensor = tensors[name] if layout is None else layout(self.kit.torch, tensors[name])
            tensors[name] = tensor.detach().requires_grad_(name in wanted)
        out = EXACT[self.case["op"]](Call(self.kit, self.case["args"], tensors))
        if not wanted:
            return [out]
        if expanded:
            gradient = self.kit.torch.ones((), dtype=self.dtype, device=self.kit.device).expand(out.shape)
        else:
            gradient = self.gradient(out, which)
        if poison:
            gradient.view(-1)[gradient.numel() // 2] = float("nan")
        if layout is not None:
            gradient = layout(self.kit.torch, gradient)
        self.kit.backward(out, gradient)
        missing = [name for name in wanted if tensors[name].grad is None]
        if missing:
            raise RuntimeError("no gradient came back for %s" % ", ".join(missing))
        return [out, *(tensors[name].grad for name in wanted)]

    def passes(self):
        """The passes by name, in the order in which they are run; `large` stands for the large batch."""
        if not self.leaves:
            return [("first", {}), ("strided", {"layout": strided}), ("again", {})]
        frozen = [("frozen:" + name, {"frozen": name}) for name in self.leaves] if len(self.leaves) > 1 else []
        before = [("first", {}), ("second", {"which": 1}), ("large", {}), ("expanded", {"expanded": True})]
        return before + frozen + [("strided", {"layout": strided}), ("nan", {"poison": True}), ("again", {})]


def exact_step(kit, case, large, pool, dtype, brief):
    """All passes of a case: which byte string each gave, and the exceptions by pass."""
    one, blobs, runs, errors, found = ExactCase(kit, case, pool, dtype), Blobs(), {}, {}, None
    for name, options in one.passes():
        if (name == "large" and large is None) or (brief and name not in ("first", "second", "again")):
            continue
        try:
            if name == "large":
                found = large_batch(kit, ExactCase(kit, large, pool, dtype))
            else:
                runs[name] = blobs.add(kit.fetch(one.run(**options)))
        except Exception as error:
            errors[name] = describe(error)
            if name == "first":
                break
    value = dict(blobs.value(), runs=runs)
    if errors:
        value["errors"] = errors
    if found is not None:
        value["large"] = found
    return value


ODD_ROWS = 4


def large_batch(kit, one):
    """The large batch: tensors that repeat with the batch as their first rows and the rows that do not repeat."""
    batched = {operand["name"]: operand["batched"] for operand in one.case["operands"]}
    batched["out"] = one.case["batched"]
    tensors = zip(["out", *one.leaves], one.run())
    return {name: pattern(kit.torch, tensor, one.case, batched[name]) for name, tensor in tensors}


def pattern(torch, tensor, case, repeats):
    """A tensor of the large batch without loss: `head` is what repeats, `odd` the rows that differ (a few)."""
    tensor = tensor.detach().cpu()
    if not repeats:
        return {"whole": encode([raw_bytes(torch, tensor.reshape(-1))])}
    count = next(operand["shape"][0] for operand in case["operands"] if operand["batched"])
    rows = tensor.reshape(case["rows"], -1)
    head = {"rows": case["rows"], "head": encode([raw_bytes(torch, rows[:count].reshape(-1))])}
    whole = case["rows"] // count * count
    if bool((rows[:whole].reshape(-1, count, rows.shape[1]) == rows[:count]).all()) and torch.equal(
        rows[whole:], rows[: case["rows"] - whole]
    ):
        return dict(head, odd=0)
    return dict(head, **odd_rows(raw_bytes(torch, rows.reshape(-1)), case["rows"], count))


def odd_rows(data, rows, count):
    """The rows that do not repeat the first `count`: how many, which, and the bits of a few."""
    width = len(data) // rows

    def row(at):
        return data[at * width : (at + 1) * width]

    odd = [at for at in range(rows) if row(at) != row(at % count)]
    some = odd[:ODD_ROWS]
    return {"odd": len(odd), "at": some, "values": encode([row(at) for at in some])}
