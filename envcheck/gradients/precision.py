"""What a product really calculates with, read off the probe, beside what torch's switches announce."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import structs

from envcheck.gradients.formats import FORMATS
from envcheck.gradients.limits import SUM_BITS
from envcheck.model.gradients import Precision

LEGS = ("left", "right", "upstream", "weight")
ONES = 62.0
"""What the sums of the probe must give: 2**k + 62 ones - 2**k."""
FLOAT16_CAP = 15
"""The largest power of two that float16 holds: its running sums are probed no further."""
_TF32_BITS, _BFLOAT16_BITS = 10, 7
_ANNOUNCED = {"tf32": _TF32_BITS, "bf16": _BFLOAT16_BITS, "high": _TF32_BITS, "medium": _BFLOAT16_BITS}

_SWITCHES = {
    ("cuda", "matmul"): ("backends.cuda.matmul.fp32_precision", "backends.cuda.matmul.allow_tf32"),
    ("cuda", "conv2d"): ("backends.cudnn.conv.fp32_precision", "backends.cudnn.allow_tf32"),
    ("cuda", "lstm"): ("backends.cudnn.rnn.fp32_precision", "backends.cudnn.allow_tf32"),
    ("cpu", "matmul"): ("backends.mkldnn.matmul.fp32_precision", "get_float32_matmul_precision"),
    ("cpu", "conv2d"): ("backends.mkldnn.conv.fp32_precision",),
}
_REDUCED = (
    "backends.cuda.matmul.allow_fp16_accumulation",
    "backends.cuda.matmul.allow_{}_reduced_precision_reduction",
)


def announced_bits(kind: str, op: str, switches: Mapping[str, str]) -> tuple[int, str | None]:
    """The operand bits of float32 that the switches announce for `op`, and the switch that lowers them."""
    family = "cuda" if kind in ("cuda", "rocm") else kind
    for path in _SWITCHES.get((family, op), ()):
        value = switches.get(path, "")
        bits = _TF32_BITS if value == "True" else _ANNOUNCED.get(value)
        if bits is not None:
            return bits, f"torch.{path} = {value}"
    return FORMATS["float32"].precision - 1, None


def _expected_sum_bits(kind: str, op: str, dtype: str, switches: Mapping[str, str]) -> int | None:
    """float32 sums in float32; a shorter dtype does so where torch has a switch for less, and it is off."""
    if dtype == "float32":
        return FORMATS["float32"].precision - 1
    reduced = [path.format({"bfloat16": "bf16", "float16": "fp16"}[dtype]) for path in _REDUCED]
    told = [switches[path] for path in reduced if path in switches]
    if kind != "cuda" or op != "matmul" or not told or "True" in told:
        return None
    return FLOAT16_CAP if dtype == "float16" else FORMATS["float32"].precision - 1


def read_precision(kind: str, op: str, dtype: str, value: Mapping[str, Any], switches: Mapping[str, str]) -> Precision:
    """The facts of one product in one dtype."""
    bits = {leg: _operand_bits(value[leg]) for leg in LEGS}
    fewest = min(LEGS, key=bits.__getitem__)
    sums = [_sum_bits(column) for column in (*value["sums"], value["weight_sums"])]
    announced, switch = FORMATS[dtype].precision - 1, None
    if dtype == "float32":
        announced, switch = announced_bits(kind, op, switches)
    kept = value.get("subnormal")
    return _compared(
        op=op,
        dtype=dtype,
        operand_bits=bits[fewest],
        operand_leg=fewest,
        sum_bits=min(*sums, FLOAT16_CAP) if dtype == "float16" else min(sums),
        expected_operand_bits=announced,
        expected_sum_bits=_expected_sum_bits(kind, op, dtype, switches),
        subnormals=None if kept is None else subnormals_kept(kept),
        switch=switch,
    )


def _compared(**found: Any) -> Precision:
    """The facts, with whether they fall short of what is announced."""
    made = Precision(**found)
    operand, total = made.operand_bits or 0, made.sum_bits or 0
    few = made.expected_operand_bits is not None and operand < made.expected_operand_bits
    cut = made.expected_sum_bits is not None and total < min(made.expected_sum_bits, SUM_BITS)
    return structs.replace(made, short=few or cut)


def subnormals_kept(numbers: Sequence[str]) -> bool:
    """Whether 1, 2, 3, ... times 2**-140 came through."""
    return all(float.fromhex(text) == (place + 1) * 2.0**-140 for place, text in enumerate(numbers))


def _operand_bits(diagonal: Sequence[str]) -> int:
    """The largest k with every 1 + 2**-1 ... 1 + 2**-k still exact."""
    bits = 0
    for place, text in enumerate(diagonal, start=1):
        if float.fromhex(text) != 1 + 2.0**-place:
            break
        bits = place
    return bits


def _sum_bits(column: Sequence[str]) -> int:
    """The largest k with every sum up to that of 2**k still exact."""
    bits = 0
    for power, text in enumerate(column):
        if float.fromhex(text) != ONES:
            break
        bits = power
    return bits
