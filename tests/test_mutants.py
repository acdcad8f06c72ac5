"""Faulty back-propagations are noticed, by cases that know nothing of them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import msgspec
import pytest
import torch
from helpers.backprop import ask_of, gradients_of, measure
from helpers.mutants import (
    FAULTS,
    HOSTS,
    LIBRARY_FAULTS,
    LINEAR_FAULTS,
    Fault,
    Injector,
    faulty_linear,
    library_override,
)

from envcheck.gradients.ask import Ask
from envcheck.model.gradients import GradientDevice

CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "products": (("matmul", "linear", "bmm", "two_layers"), ("linear",)),
    "conv2d": (("conv2d", "conv2d_stride2"), ("conv2d",)),
    "relu": (("relu", "two_layers"), ()),
    "embedding": (("embedding", "embedding_padding"), ("embedding",)),
    "max_pool": (("max_pool2d", "max_pool2d_overlapping"), ()),
    "multiplication": (("chain", "multiply_broadcast", "square"), ()),
    "sums": (("add_broadcast", "linear"), ()),
}
"""Operations whose backward passes use a host's kernels: exact cases, and operations of the random layer."""
WHOLE = ("products", "conv2d")
"""Hosts that every fault is put into; the others get those of a single number."""


@cache
def question(host: str, large: bool) -> Ask:
    return ask_of(CASES[host][0], large=large)


@cache
def references(host: str) -> dict[str, Any]:
    """The float64 references, which faults in float32, bfloat16 and float16 do not reach."""
    values = measure(ask_of([]), CASES[host][1], skip=["cpu"]).values
    return {step: value for step, value in values.items() if step.startswith("reference/")}


def examine(
    host: str, fault: AbstractContextManager[object], *, large: bool = False, probe: bool = False
) -> GradientDevice:
    """The CPU as verify-backprop sees it while the fault is in force; `large` batches and the probe cost time."""
    skip = ["reference", "cpu/lesson", *(() if probe else ("cpu/precision", "cpu/elementwise"))]
    with fault:
        run = measure(question(host, large), CASES[host][1], skip=skip)
    run = msgspec.structs.replace(run, values={**references(host), **run.values})
    return gradients_of(run).devices[0]


def noticed(device: GradientDevice) -> bool:
    """Called untrusted, or, where subnormal numbers are lost, said so."""
    return device.verdict == "untrusted" or any(one.subnormals is False for one in device.precision)


def pairs() -> Iterator[tuple[str, Fault]]:
    for host in CASES:
        for fault in FAULTS:
            if (fault.hosts is None or host in fault.hosts) and (host in WHOLE or fault.one_element):
                yield host, fault


PAIRS = list(pairs())


@pytest.mark.parametrize("host", CASES)
def test_without_a_fault_nothing_is_noticed(host: str) -> None:
    device = examine(host, nullcontext(), large=True, probe=True)
    assert device.verdict == "trusted"
    assert not noticed(device)
    assert device.parted is None


@pytest.mark.parametrize(("host", "fault"), PAIRS, ids=[f"{host}: {fault.name}" for host, fault in PAIRS])
def test_a_fault_is_noticed(host: str, fault: Fault) -> None:
    injector = Injector(fault, host)
    device = examine(host, injector, large=fault.large, probe=fault.probe)
    assert bool(injector.changed) == noticed(device), device.parted
    # Of an operation of the exact layer every number counts, down to its last bit.
    if fault.one_element:
        assert injector.changed
        assert any(case.layer == "exact" and case.outcome == "wrong" for case in device.cases)


def test_there_are_enough_faults_and_each_does_something() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 45
    assert len(FAULTS) + len(LINEAR_FAULTS) + len(LIBRARY_FAULTS) >= 80
    assert {bit for bit in range(32) if any(fault.name.endswith(f" {bit}") for fault in FAULTS)} == set(range(32))
    assert set(CASES) <= set(HOSTS)


@pytest.mark.parametrize("name", LINEAR_FAULTS)
def test_a_faulty_autograd_function_is_noticed(name: str) -> None:
    assert noticed(examine("products", faulty_linear(LINEAR_FAULTS[name])))


def test_a_faithful_autograd_function_is_not() -> None:
    assert not noticed(examine("products", faulty_linear(lambda _, *gradients: gradients)))


@pytest.mark.parametrize("name", LIBRARY_FAULTS)
def test_a_faulty_kernel_in_the_library_is_noticed(name: str) -> None:
    kernel, wrong = LIBRARY_FAULTS[name]
    with library_override(kernel, wrong):
        run = measure(ask_of(("relu", "two_layers")), ("gelu", "softmax", "cross_entropy"))
    assert noticed(gradients_of(run).devices[0])


def test_a_faulty_float64_reference_contradicts_itself() -> None:
    injector = Injector(Fault("scale", lambda tensor, _: tensor * (1 + 1e-5), dtypes=(torch.float64,)), "layer_norm")
    with injector:
        found = gradients_of(measure(ask_of([]), ("layer_norm", "gelu")))
    assert injector.changed
    assert [one.op for one in found.references if not one.ok] == ["layer_norm"]
    # The float32 results are right, and nobody can say so.
    assert {case.outcome for case in found.devices[0].of("random") if case.op == "layer_norm"} == {"unjudged"}
    assert {case.outcome for case in found.devices[0].of("random") if case.op == "gelu"} == {"ok"}
    assert found.devices[0].verdict == "untrusted"


def test_the_first_parting_names_operation_dtype_leg_and_pass() -> None:
    injector = Injector(next(fault for fault in FAULTS if fault.name == "float32 bit 0"), "conv2d")
    device = examine("conv2d", injector)
    parted = device.parted
    assert parted is not None
    assert (parted.layer, parted.op, parted.dtype) == ("exact", "conv2d", "float32")
    assert parted.parting is not None
    assert parted.parting.leg in ("x", "w", "b")
    assert (parted.parting.run, parted.parting.ulps, parted.parting.wrong) == ("first", 1, 1)
