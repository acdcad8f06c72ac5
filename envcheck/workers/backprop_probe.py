"""Back-propagation worker: the lesson, the precision that is really used, and work under load."""

import time

from backprop_kit import describe


def lesson_step(kit, ask, dtype):
    """Back-propagation by hand, asked of torch: two chain rules, a net of two layers, and the loop y = w * x."""
    torch = kit.torch
    number = lambda value: torch.tensor(value, dtype=kit.dtype(dtype), device=kit.device)  # noqa: E731

    s = number(3.0).requires_grad_()
    (2 * (s * s) + 1).backward()
    joined = number(3.0).requires_grad_()
    ((joined * joined) * (2 * joined)).backward()

    net = {name: number(values).requires_grad_() for name, values in ask["net"].items()}
    hidden = torch.relu(torch.matmul(net["w1"], net["x"]) + net["b1"])
    loss = ((torch.matmul(net["w2"], hidden) + net["b2"] - net["target"]) ** 2).sum()
    loss.backward()

    loop = ask["loop"]
    w = number(loop["start"]).requires_grad_()
    rate = number(loop["rate"])
    pairs = [(number(x), number(y)) for x, y in zip(loop["x"], loop["y"])]
    before = w.detach() * loop["predict"]
    steps = []
    for _ in range(loop["epochs"]):
        for x, y in pairs:
            error = (w * x - y) ** 2
            error.backward()
            steps += [error.detach(), w.grad.clone(), None]
            with torch.no_grad():
                w -= rate * w.grad
                w.grad.zero_()
            steps[-1] = w.detach().clone()
    flat = torch.stack(steps).cpu().double()
    return {
        "chain": [float(s.grad).hex(), float(joined.grad).hex()],
        "net": {name: [float(each).hex() for each in tensor.grad.reshape(-1).tolist()] for name, tensor in net.items()},
        "net_loss": float(loss.detach()).hex(),
        "before": float(before).hex(),
        "after": float(w.detach() * loop["predict"]).hex(),
        "steps": [each.hex() for each in flat.tolist()],
    }


SIDE = 32
LENGTH = 64


def _product(torch, x, w):
    return torch.matmul(x, w)


def _convolution(torch, x, w):
    """The same product by a 3x3 convolution whose kernel is zero but in its centre."""
    kernel = torch.zeros(w.shape[1], w.shape[0], 3, 3, dtype=w.dtype, device=w.device)
    kernel[:, :, 1, 1] = w.t()
    image = x.reshape(x.shape[0], x.shape[1], 1, 1).expand(-1, -1, 2, 2)
    return torch.nn.functional.conv2d(image.contiguous(), kernel, padding=1)[:, :, 0, 0]


PRODUCTS = {"matmul": _product, "conv2d": _convolution}


def precision_step(kit, name, dtype):
    """For each pass of a product: which of 1 + 2**-k survive as an operand, and what sums of 2**k and ones become."""
    torch, product, kind = kit.torch, PRODUCTS[name], kit.dtype(dtype)
    make = lambda rows: torch.tensor(rows, dtype=kind, device=kit.device)  # noqa: E731
    one = [[1.0 if i == j else 0.0 for j in range(SIDE)] for i in range(SIDE)]
    fine = [[1.0 + 2.0 ** -(i + 1) if i == j else 0.0 for j in range(SIDE)] for i in range(SIDE)]
    value = {}
    left, right = make(fine), make(one)
    value["left"] = _diagonal(product(torch, left, right))
    value["right"] = _diagonal(product(torch, right, left))
    x, w = make(one).requires_grad_(), make(one).requires_grad_()
    kit.backward(product(torch, x, w), left)
    value["upstream"] = _diagonal(x.grad)
    value["weight"] = _diagonal(w.grad)
    # Row k: 2**k, ones, -2**k, and the same with the large pair in the middle of the ones.
    ones = LENGTH - 2
    big = [min(k, 15) if dtype == "float16" else k for k in range(SIDE)]
    ends = [[2.0**k] + [1.0] * ones + [-(2.0**k)] for k in big]
    middle = [[1.0] * (ones // 2) + [2.0**k, -(2.0**k)] + [1.0] * (ones - ones // 2) for k in big]
    unit = make([[1.0] * SIDE for _ in range(LENGTH)])
    value["sums"] = [_column(product(torch, make(rows), unit)) for rows in (ends, middle)]
    x, w = make(list(map(list, zip(*ends)))), make([[1.0] * SIDE for _ in range(SIDE)]).requires_grad_()
    kit.backward(product(torch, x, w), unit)
    value["weight_sums"] = _column(w.grad)
    if dtype == "float32":
        tiny = 2.0**-140
        x = make([[tiny * (i + 1) if i == j else 0.0 for j in range(SIDE)] for i in range(SIDE)])
        weight = make(one).requires_grad_()
        kit.backward(product(torch, x, weight), make(one))
        value["subnormal"] = [float(each).hex() for each in _list(weight.grad.diagonal())]
    return value


def _list(tensor):
    return tensor.detach().cpu().double().tolist()


def _diagonal(matrix):
    return [each.hex() for each in _list(matrix.diagonal())]


def _column(matrix):
    return [each.hex() for each in _list(matrix[:, 0])]


def elementwise_step(kit):
    """Whether float32 keeps subnormal numbers in element-wise work and its backward pass."""
    torch = kit.torch
    x = torch.tensor([2.0**-140 * (i + 1) for i in range(SIDE)], device=kit.device).requires_grad_()
    y = torch.tensor([1.0] * SIDE, device=kit.device).requires_grad_()
    out = x * y
    kit.backward(out, torch.ones_like(out))
    return {"subnormal": [[each.hex() for each in _list(tensor)] for tensor in (out, y.grad)]}


def kernel_step(kit):
    """The first kernel: what it gave and how long it took."""
    begun = time.perf_counter()
    x = kit.torch.ones(8, device=kit.device)
    total = float((x + x).sum())
    return {"ms": round((time.perf_counter() - begun) * 1000, 3), "total": total.hex()}


LOAD_SIDE = 192


class Load:
    """Products of integer matrices whose results are known, on two streams where there are streams.

    Blocks of changing size are taken and given back between them, so that memory is reused in a new order.
    """

    def __init__(self, kit):
        self.kit, torch = kit, kit.torch
        place = torch.arange(LOAD_SIDE * LOAD_SIDE).reshape(LOAD_SIDE, LOAD_SIDE)
        self.a = ((place * 7 + place // 5) % 3 - 1).float()
        self.b = ((place * 5 + place // 3) % 3 - 1).float()
        # Partial sums stay below 2**8: exact in any order, so that the CPU's own product is the truth.
        self.truth = torch.matmul(self.a.double(), self.b.double()).float()
        self.gradient = torch.matmul(self.truth.sign().double(), self.b.t().double()).float()
        self.a, self.b = self.a.to(kit.device), self.b.to(kit.device)
        self.expected = [self.truth.to(kit.device), self.gradient.to(kit.device)]
        module = getattr(torch, kit.device.type, None)
        stream = getattr(module, "Stream", None) if kit.device.type != "cpu" else None
        self.streams = [stream(device=kit.device) for _ in range(2)] if stream is not None else []
        self.module = module
        self.rounds = self.wrong = 0

    def round(self):
        """One round: forward on one stream, backward on the other after it; the results beside the truth."""
        torch = self.kit.torch
        block = torch.full((1 + self.rounds * 7919 % 65536,), 3.0, device=self.kit.device)
        a = self.a.clone().requires_grad_()
        if self.streams:
            first, second = self.streams
            first.wait_stream(self.module.current_stream(self.kit.device))
            with self.module.stream(first):
                out = torch.matmul(a, self.b)
            second.wait_stream(first)
            with self.module.stream(second):
                self.kit.backward(out, out.detach().sign())
                gradient = a.grad.clone()
            self.module.current_stream(self.kit.device).wait_stream(second)
        else:
            out = torch.matmul(a, self.b)
            self.kit.backward(out, out.detach().sign())
            gradient = a.grad
        same = torch.equal(out.detach(), self.expected[0]) and torch.equal(gradient, self.expected[1])
        self.rounds += 1
        self.wrong += not (same and bool((block == 3.0).all()))


def load_step(kit, seconds, tell):
    """Rounds of load for that long; `tell` is called with the part that is done."""
    load, begun = Load(kit), time.perf_counter()
    told = 0.0
    while True:
        load.round()
        passed = time.perf_counter() - begun
        if passed >= seconds:
            return {"seconds": round(passed, 3), "rounds": load.rounds, "wrong": load.wrong}
        if passed - told >= 1.0:
            told = passed
            tell(passed / seconds)
