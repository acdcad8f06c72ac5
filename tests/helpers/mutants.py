"""Faulty back-propagations, put into torch through its own machinery.

A fault is a model of something that goes wrong in a kernel: it knows shapes, dtypes and bits, and nothing of the cases
that are meant to notice it. `Injector` (a dispatch mode) lets it loose on the kernels of one operation while autograd
runs backward; `FaultyFunction` (an autograd function in the place of F.linear) and `library_override` are the other
two doors.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

NARROW = (torch.bfloat16, torch.float16)
JUDGED = (torch.float32, *NARROW)
"""The dtypes that a fault is put into: the float64 reference has kernels of its own."""

HOSTS: dict[str, tuple[str, ...]] = {
    "products": ("mm", "addmm", "bmm", "mv"),
    "conv2d": ("convolution_backward",),
    "attention": (
        "_scaled_dot_product_flash_attention_for_cpu_backward",
        "_scaled_dot_product_attention_math_for_mps",
        "_softmax_backward_data",
    ),
    "layer_norm": ("native_layer_norm_backward",),
    "batch_norm": ("native_batch_norm_backward",),
    "gelu": ("gelu_backward",),
    "embedding": ("embedding_dense_backward",),
    "relu": ("threshold_backward",),
    "max_pool": ("max_pool2d_with_indices_backward",),
    "sums": ("sum",),
    "multiplication": ("mul",),
}
"""Operations by the kernels of their backward passes."""


class Call(NamedTuple):
    """One call of a kernel: its name, arguments and true results, and how often it was called before in this dtype."""

    kernel: str
    args: tuple[Any, ...]
    results: tuple[torch.Tensor, ...]
    before: int
    history: dict[Any, torch.Tensor]


Change = Callable[[torch.Tensor, Call], torch.Tensor]


class Fault(NamedTuple):
    """A fault. `change` makes a wrong result of a true one; `operands` makes wrong operands before the call.

    `everywhere`: in the forward pass too. `one_element`: it touches a single number. `which`: the result it touches,
    counted from 0 (None: all).
    """

    name: str
    change: Change | None = None
    operands: Callable[[torch.Tensor], torch.Tensor] | None = None
    dtypes: tuple[torch.dtype, ...] = JUDGED
    everywhere: bool = False
    one_element: bool = False
    which: int | None = None
    hosts: tuple[str, ...] | None = None
    """Where it makes sense; None: everywhere."""
    large: bool = False
    """It shows with large batches only."""
    probe: bool = False
    """It is about the precision of products."""


# One number or all of them -------------------------------------------------------------------------------------------


def _middle(tensor: torch.Tensor) -> int | None:
    """The place of a number that is not zero, near the middle; None without one."""
    flat = tensor.reshape(-1)
    places = flat.nonzero().reshape(-1)
    return int(places[len(places) // 2]) if len(places) else None


def _one(function: Callable[[torch.Tensor], Any]) -> Change:
    """Change a single number that is not zero."""

    def change(tensor: torch.Tensor, _: Call) -> torch.Tensor:
        place = _middle(tensor)
        if place is None:
            return tensor
        flat = tensor.clone().reshape(-1)
        flat[place] = function(flat[place])
        return flat.reshape(tensor.shape)

    return change


def _each(function: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return lambda tensor, _: function(tensor)


def _flip(bit: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Flip a bit of float32, or the bit of float64 that means the same."""

    def flipped(number: torch.Tensor) -> torch.Tensor:
        double = number.dtype == torch.float64
        place = bit if not double else 63 if bit == 31 else bit + 29
        mask = -(1 << place) if place in (31, 63) else 1 << place
        return (number.reshape(1).view(torch.int64 if double else torch.int32) ^ mask).view(number.dtype)[0]

    return flipped


def _transposed(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dim() < 2 else tensor.transpose(-1, -2).reshape(tensor.shape)


def _tile_reversed(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.clone().reshape(-1)
    flat[:8] = flat[:8].flip(0)
    return flat.reshape(tensor.shape)


def _without_last_row(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dim() == 0 or tensor.shape[0] < 2:
        return tensor
    changed = tensor.clone()
    changed[-1] = 0
    return changed


def _bias_lost(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(tensor) if tensor.dim() == 1 else tensor


def _borders_lost(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dim() < 2:
        return tensor
    changed = tensor.clone()
    changed[..., 0] = 0
    return changed


def _noise(size: float) -> Change:
    def change(tensor: torch.Tensor, call: Call) -> torch.Tensor:
        generator = torch.Generator().manual_seed(call.before)
        drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        return (tensor.double() * (1 + size * drawn)).to(tensor.dtype)

    return change


# Precision -----------------------------------------------------------------------------------------------------------


def _bits_kept(bits: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Numbers rounded to `bits` bits after the leading one."""

    def rounded(tensor: torch.Tensor) -> torch.Tensor:
        double = tensor.dtype == torch.float64
        drop = (52 if double else 23) - bits
        raw = tensor.contiguous().view(torch.int64 if double else torch.int32)
        return ((raw + (1 << (drop - 1)) - 1 + ((raw >> drop) & 1)) >> drop << drop).view(tensor.dtype)

    return rounded


def _accumulated(dtype: torch.dtype) -> Change:
    """Matrix products whose running sum is kept in `dtype`."""

    def change(tensor: torch.Tensor, call: Call) -> torch.Tensor:
        if call.kernel not in ("mm", "bmm"):
            return tensor
        left, right = call.args[:2]
        total = torch.zeros_like(tensor)
        for k in range(0, left.shape[-1], 4):
            part = torch.matmul(left[..., k : k + 4], right[..., k : k + 4, :])
            total = (total + part).to(dtype).to(tensor.dtype)
        return total

    return change


def _narrowed(dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: tensor.to(dtype).to(tensor.dtype)


# Circumstances -------------------------------------------------------------------------------------------------------


def _broken(tensor: torch.Tensor) -> torch.Tensor:
    """What a kernel that reads the wrong memory gives."""
    return tensor.roll(1) + 1


def _stale(tensor: torch.Tensor, call: Call) -> torch.Tensor:
    key = (call.kernel, tensor.shape, tensor.dtype)
    old = call.history.get(key)
    call.history[key] = tensor
    return tensor if old is None else old


def _on_call(chosen: Callable[[int], bool]) -> Change:
    return lambda tensor, call: _broken(tensor) if chosen(call.before) else tensor


def _flaky(tensor: torch.Tensor, call: Call) -> torch.Tensor:
    return _one(lambda number: number * 1.5)(tensor, call) if call.before % 8 == 7 else tensor


def _strides_zero(argument: Any) -> bool:
    return isinstance(argument, torch.Tensor) and argument.numel() > 1 and 0 in argument.stride()


def _when(true: Callable[[Call], bool]) -> Change:
    return lambda tensor, call: _broken(tensor) if true(call) else tensor


def _large(call: Call) -> bool:
    return any(isinstance(each, torch.Tensor) and each.dim() and max(each.shape) >= 65536 for each in call.args)


def _lost_beyond_16_bits(tensor: torch.Tensor, _: Call) -> torch.Tensor:
    if tensor.dim() == 0 or tensor.shape[0] <= 65535:
        return tensor
    changed = tensor.clone()
    changed[65535:] = 0
    return changed


def _mask_ignored(call: Call) -> bool:
    """convolution_backward is asked for the weight's gradient but not for the input's."""
    return call.kernel == "convolution_backward" and not call.args[-1][0]


def _not_contiguous(call: Call) -> bool:
    """A tensor that is neither contiguous nor merely transposed, as a layout that a kernel forgot."""
    return any(isinstance(each, torch.Tensor) and not each.is_contiguous() and each.dim() > 2 for each in call.args)


def _nan_to_zero(tensor: torch.Tensor) -> torch.Tensor:
    return torch.where(tensor.isnan(), torch.zeros_like(tensor), tensor)


def _flushed(tensor: torch.Tensor) -> torch.Tensor:
    return torch.where(tensor.abs() < 2.0**-126, torch.zeros_like(tensor), tensor)


def _faults() -> Iterator[Fault]:
    for power in range(2, 7):
        yield Fault(f"scale 1 + 1e-{power}", _each(lambda t, e=10.0**-power: t * (1 + e)))
    yield Fault("scale 1 + 1e-3, bfloat16 and float16 only", _each(lambda t: t * 1.001), dtypes=NARROW)
    yield Fault("scale 1 + 1e-2, bfloat16 and float16 only", _each(lambda t: t * 1.01), dtypes=NARROW)
    yield Fault("sign", _each(torch.neg))
    yield Fault("zero", _each(torch.zeros_like))
    yield Fault("NaN", _each(lambda t: torch.full_like(t, math.nan)))
    yield Fault("infinite", _one(lambda _: math.inf))
    yield Fault("transposed", _each(_transposed))
    yield Fault("last row lost", _each(_without_last_row))
    yield Fault("bias gradient lost", _each(_bias_lost), hosts=("conv2d", "layer_norm", "batch_norm"))
    yield Fault("mean for sum", _each(lambda t: t / max(1, t.shape[0] if t.dim() else 1)))
    yield Fault("off by one row", _each(lambda t: t.roll(1, 0) if t.dim() else t))
    yield Fault("off by one column", _each(lambda t: t.roll(1, -1) if t.dim() else t))
    yield Fault("tile of 8 reversed", _each(_tile_reversed))
    yield Fault("first column lost", _each(_borders_lost))
    yield Fault("clipped at 2", _each(lambda t: t.clamp(-2, 2)))
    yield Fault("one number off by 1e-2", _one(lambda n: n * 1.01), one_element=True)
    yield Fault("one number off by 1e-4", _one(lambda n: n * 1.0001), one_element=True, dtypes=(torch.float32,))
    yield Fault("one number lost", _one(lambda n: n * 0), one_element=True)
    for bit in range(32):
        kind = "sign bit" if bit == 31 else "exponent bit" if bit >= 23 else "bit"
        yield Fault(f"float32 {kind} {bit}", _one(_flip(bit)), one_element=True, dtypes=(torch.float32,))
    yield Fault("noise 1e-4", _noise(1e-4))
    yield Fault("noise 1e-5", _noise(1e-5), dtypes=(torch.float32,))
    products = {"dtypes": (torch.float32,), "hosts": ("products", "conv2d"), "probe": True}
    yield Fault("TF32 operands", operands=_bits_kept(10), everywhere=True, **products)
    yield Fault("bfloat16 operands", operands=_bits_kept(7), everywhere=True, **products)
    yield Fault("bfloat16 sums", _accumulated(torch.bfloat16), dtypes=(torch.float32,), hosts=("products",))
    yield Fault("float16 sums", _accumulated(torch.float16), dtypes=(torch.float32,), hosts=("products",))
    yield Fault("rounded to bfloat16", _each(_narrowed(torch.bfloat16)), dtypes=(torch.float32,))
    yield Fault("rounded to float16", _each(_narrowed(torch.float16)), dtypes=(torch.float32,))
    yield Fault("stale", _stale)
    yield Fault("wrong on the second call", _on_call(lambda before: before == 1))
    yield Fault("wrong from the tenth call on", _on_call(lambda before: before >= 9))
    yield Fault("flaky, one call in eight", _flaky, one_element=True)
    yield Fault("NaN becomes 0", _each(_nan_to_zero))
    yield Fault("subnormals become 0", _each(_flushed), **products)
    yield Fault("wrong for a stride of 0", _when(lambda call: any(map(_strides_zero, call.args))))
    yield Fault("wrong when the input needs no gradient", _when(_mask_ignored), hosts=("conv2d",))
    yield Fault("wrong for strided layouts", _when(_not_contiguous), hosts=("conv2d", "max_pool", "products", "relu"))
    batches = ("products", "conv2d", "relu", "max_pool")
    yield Fault("wrong for large batches", _when(_large), hosts=batches, large=True)
    yield Fault("lost beyond 16 bits", _lost_beyond_16_bits, hosts=batches, large=True)


FAULTS = tuple(_faults())


class Injector(TorchDispatchMode):
    """Lets a fault loose on one host's kernels; counts the results that it changed."""

    def __init__(self, fault: Fault, host: str) -> None:
        super().__init__()
        self.fault, self.kernels = fault, HOSTS[host]
        self.calls: dict[Any, int] = {}
        self.history: dict[Any, torch.Tensor] = {}
        self.changed = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        backward = torch._C._current_graph_task_id() != -1
        if name not in self.kernels or not (backward or self.fault.everywhere):
            return func(*args, **(kwargs or {}))
        if self.fault.operands is not None:
            args = tuple(self._operand(each) for each in args)
        out = func(*args, **(kwargs or {}))
        return out if self.fault.change is None else self._changed(name, args, out)

    def _operand(self, each: Any) -> Any:
        assert self.fault.operands is not None
        if not isinstance(each, torch.Tensor) or each.dtype not in self.fault.dtypes:
            return each
        made = self.fault.operands(each)
        self.changed += not _same(made, each)
        return made

    def _changed(self, name: str, args: Any, out: Any) -> Any:
        results = out if isinstance(out, (tuple, list)) else (out,)
        counted = (name, next((each.dtype for each in results if isinstance(each, torch.Tensor)), None))
        before = self.calls.get(counted, 0)
        self.calls[counted] = before + 1
        call = Call(name, args, tuple(results), before, self.history)
        made = tuple(self._result(place, each, call) for place, each in enumerate(results))
        return made if isinstance(out, (tuple, list)) else made[0]

    def _result(self, place: int, each: Any, call: Call) -> Any:
        fault = self.fault
        if not isinstance(each, torch.Tensor) or each.dtype not in fault.dtypes or each.numel() == 0:
            return each
        if fault.which is not None and fault.which != place:
            return each
        assert fault.change is not None
        made = fault.change(each, call)
        self.changed += not _same(made, each)
        return made


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool(torch.equal(one.nan_to_num(nan=12345.0), other.nan_to_num(nan=12345.0)))


class FaultyFunction(torch.autograd.Function):
    """F.linear with a backward pass of our own: right but for `change`, which is given what autograd needs."""

    change: Callable[..., tuple[Any, Any, Any]] = staticmethod(lambda ctx, *gradients: gradients)

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, w)
        out = x.matmul(w.t())
        return out if b is None else out + b

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        x, w = ctx.saved_tensors
        true = (gradient.matmul(w), gradient.t().matmul(x), gradient.sum(0) if ctx.needs_input_grad[2] else None)
        return FaultyFunction.change(ctx, *true)


@contextlib.contextmanager
def faulty_linear(change: Callable[..., tuple[Any, Any, Any]]) -> Iterator[None]:
    """F.linear through `FaultyFunction` for a while, in the dtypes that are judged."""
    true = torch.nn.functional.linear

    def linear(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
        return FaultyFunction.apply(x, w, b) if x.dtype in JUDGED and x.dim() == 2 else true(x, w, b)

    FaultyFunction.change = staticmethod(change)
    torch.nn.functional.linear = linear  # type: ignore[assignment] # put back below
    try:
        yield
    finally:
        torch.nn.functional.linear = true


LINEAR_FAULTS: dict[str, Callable[..., tuple[Any, Any, Any]]] = {
    "wrong weight gradient when the input needs none": lambda ctx, x, w, b: (
        x,
        w if ctx.needs_input_grad[0] else w * 1.5,
        b,
    ),
    "weight gradient transposed": lambda ctx, x, w, b: (x, w.t().reshape(w.shape), b),
    "bias gradient missing": lambda ctx, x, w, b: (x, w, None if b is None else b * 0),
    "bias gradient is a mean": lambda ctx, x, w, b: (x, w, None if b is None else b / x.shape[0]),
    "input and weight off by 1e-6": lambda ctx, x, w, b: (x * (1 + 1e-6), w * (1 + 1e-6), b),
}


@contextlib.contextmanager
def library_override(kernel: str, wrong: Callable[..., torch.Tensor]) -> Iterator[None]:
    """The CPU kernel of an operator replaced in torch's dispatcher for a while."""
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # overriding is what is meant
        library.impl(kernel, wrong, "CPU")
    try:
        yield
    finally:
        library._destroy()


LIBRARY_FAULTS: dict[str, tuple[str, Callable[..., torch.Tensor]]] = {
    "relu passes everything back": ("threshold_backward", lambda gradient, _x, _threshold: gradient.clone()),
    "relu keeps 1 % of what it should stop": (
        "threshold_backward",
        lambda gradient, x, threshold: torch.where(x > threshold, gradient, gradient * 0.01),
    ),
    "gelu's gradient is relu's": (
        "gelu_backward",
        lambda gradient, x, *, approximate="none": torch.where(x > 0, gradient, torch.zeros_like(gradient)),
    ),
    "softmax forgets its sum": ("_softmax_backward_data", lambda gradient, out, _dim, _dtype: gradient * out),
}
