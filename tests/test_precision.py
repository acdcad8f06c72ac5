"""What a product really calculates with, beside what the switches announce."""

from typing import Any

import pytest
from helpers.backprop import ask_of, gradients_of, measure
from helpers.mutants import FAULTS, Injector

from envcheck.gradients.precision import ONES, announced_bits, read_precision, subnormals_kept
from envcheck.model.gradients import Precision

IEEE = {"backends.cuda.matmul.allow_tf32": "False", "backends.cudnn.allow_tf32": "False"}


def diagonal(bits: int) -> list[str]:
    """1 + 2**-1, 1 + 2**-2, ... as a product with so many bits after the leading one gives them."""
    return [(1 + 2.0**-k if k <= bits else 1.0).hex() for k in range(1, 33)]


def column(bits: int) -> list[str]:
    """The sums of 2**k and 62 ones as a running sum with so many bits gives them: the ones are lost beyond."""
    return [(ONES if k <= bits else 0.0).hex() for k in range(32)]


def probe(operand: int = 23, sums: int = 23, **legs: int) -> dict[str, Any]:
    bits = {"left": operand, "right": operand, "upstream": operand, "weight": operand, **legs}
    made: dict[str, Any] = {leg: diagonal(count) for leg, count in bits.items()}
    return {**made, "sums": [column(sums), column(sums)], "weight_sums": column(sums)}


def read(
    dtype: str = "float32", kind: str = "cpu", op: str = "matmul", switches: Any = None, **found: Any
) -> Precision:
    return read_precision(kind, op, dtype, probe(**found), IEEE if switches is None else switches)


@pytest.mark.parametrize(("bits", "short"), [(23, False), (22, True), (10, True), (7, True), (0, True)])
def test_operand_bits_of_float32(bits: int, short: bool) -> None:
    found = read(operand=bits)
    assert (found.operand_bits, found.expected_operand_bits, found.short) == (bits, 23, short)


def test_the_pass_with_the_fewest_bits_is_named() -> None:
    found = read(upstream=10)
    assert (found.operand_bits, found.operand_leg, found.short) == (10, "upstream", True)


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 7), ("float16", 10)])
def test_short_formats_have_the_bits_that_they_have(dtype: str, bits: int) -> None:
    found = read(dtype, operand=bits)
    assert (found.operand_bits, found.expected_operand_bits, found.short) == (bits, bits, False)


@pytest.mark.parametrize(("bits", "short"), [(31, False), (23, False), (21, False), (20, True), (10, True), (7, True)])
def test_running_sums_of_float32(bits: int, short: bool) -> None:
    found = read(sums=bits)
    assert (found.sum_bits, found.short) == (bits, short)


def test_what_the_cpu_does_in_short_formats_has_no_switch() -> None:
    """The processor's own kernels may sum float16 in float16: told, and no contradiction."""
    found = read("float16", op="conv2d", operand=10, sums=10)
    assert (found.sum_bits, found.expected_sum_bits, found.short) == (10, None, False)


@pytest.mark.parametrize(("allowed", "short"), [("True", False), ("False", True)])
def test_reduced_sums_on_cuda_are_held_against_their_switch(allowed: str, short: bool) -> None:
    switches = {"backends.cuda.matmul.allow_bf16_reduced_precision_reduction": allowed}
    assert read("bfloat16", "cuda", switches=switches, operand=7, sums=7).short is short


@pytest.mark.parametrize(
    ("kind", "op", "switches", "bits"),
    [
        ("cuda", "matmul", {"backends.cuda.matmul.allow_tf32": "True"}, 10),
        ("cuda", "matmul", {"backends.cuda.matmul.fp32_precision": "tf32"}, 10),
        ("cuda", "matmul", {"backends.cudnn.allow_tf32": "True"}, 23),
        ("cuda", "conv2d", {"backends.cudnn.allow_tf32": "True"}, 10),
        ("rocm", "conv2d", {"backends.cudnn.allow_tf32": "True"}, 10),
        ("cuda", "conv2d", {"backends.cudnn.allow_tf32": "False"}, 23),
        ("cpu", "matmul", {"get_float32_matmul_precision": "medium"}, 7),
        ("cpu", "matmul", {"get_float32_matmul_precision": "highest"}, 23),
        ("cpu", "conv2d", {"backends.mkldnn.conv.fp32_precision": "bf16"}, 7),
        ("cpu", "conv2d", {"backends.cudnn.allow_tf32": "True"}, 23),
        ("mps", "matmul", {"backends.cuda.matmul.allow_tf32": "True"}, 23),
    ],
)
def test_what_the_switches_announce(kind: str, op: str, switches: dict[str, str], bits: int) -> None:
    found, switch = announced_bits(kind, op, switches)
    assert found == bits
    assert (switch is None) == (bits == 23)


def test_reduced_as_announced_is_no_contradiction() -> None:
    found = read("float32", "cuda", "conv2d", {"backends.cudnn.allow_tf32": "True"}, operand=10)
    assert not found.short
    assert found.switch == "torch.backends.cudnn.allow_tf32 = True"


def test_subnormal_numbers() -> None:
    kept = [((place + 1) * 2.0**-140).hex() for place in range(32)]
    assert subnormals_kept(kept)
    assert not subnormals_kept([(0.0).hex(), *kept[1:]])


# torch ---------------------------------------------------------------------------------------------------------------


def precision_here(**fault: Any) -> dict[tuple[str, str], Precision]:
    run = measure(ask_of([]), [], skip=["cpu/lesson"])
    return {(one.op, one.dtype): one for one in gradients_of(run).devices[0].precision}


def test_this_cpu_calculates_as_announced() -> None:
    found = precision_here()
    assert set(found) == {
        *((op, dtype) for op in ("matmul", "conv2d") for dtype in ("float32", "bfloat16", "float16")),
        ("multiply", "float32"),
    }
    assert {one.operand_bits for one in found.values() if one.dtype == "float32" and one.op != "multiply"} == {23}
    assert not any(one.short for one in found.values())
    assert all(one.subnormals for one in found.values() if one.dtype == "float32")


@pytest.mark.parametrize(
    ("name", "operand_bits", "sum_bits"),
    [("TF32 operands", 10, None), ("bfloat16 operands", 7, None), ("bfloat16 sums", 7, 7), ("float16 sums", 10, 10)],
)
def test_reduced_products_are_measured(name: str, operand_bits: int, sum_bits: int | None) -> None:
    with Injector(next(fault for fault in FAULTS if fault.name == name), "products"):
        found = precision_here()["matmul", "float32"]
    assert found.short
    assert (found.operand_bits, sum_bits) == (operand_bits, sum_bits and found.sum_bits)


def test_flushed_subnormals_are_measured() -> None:
    with Injector(next(fault for fault in FAULTS if fault.name == "subnormals become 0"), "products"):
        found = precision_here()
    assert found["matmul", "float32"].subnormals is False
    assert found["multiply", "float32"].subnormals is True
