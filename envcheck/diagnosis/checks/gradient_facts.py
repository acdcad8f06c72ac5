"""EC5xx: precision, determinism, and what else a run of `verify-backprop` tells."""

from collections.abc import Iterator

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.gradient_cases import NEEDS, SHOWN, bad_cases, found_in, name_of, ops_of
from envcheck.diagnosis.exhibits import fact
from envcheck.model.gradients import Precision
from envcheck.model.partings import short
from envcheck.model.report import Evidence, Finding, Fix
from envcheck.model.text import Text, say


@check("EC505", "precision-below-switches", needs=NEEDS, explains=("EC503", "EC504"))
def precision_below_switches(this: Check, case: Case) -> Iterator[Finding]:
    """A product calculates with fewer bits than torch's switches say.

    What it means: The probe multiplied 1 + 2**-k by 1, and added ones to large powers of two. What came through shows
    how many bits of an operand and of a running sum are really used. They are fewer than the dtype and torch's own
    switches announce, so that a setting outside torch decides.

    Common causes: An environment variable of a library (ONEDNN_DEFAULT_FPMATH_MODE, NVIDIA_TF32_OVERRIDE,
    TORCH_ALLOW_TF32_CUBLAS_OVERRIDE), a patched library, a plugin that replaces products.

    What to do: Unset the variable, or accept it and train with what it gives: loss curves will differ from other
    machines in the third or fourth digit.
    """
    for place, device in enumerate(found_in(case).devices):
        short_of = [one for one in device.precision if one.short]
        if short_of:
            yield this.finding(
                say(
                    "{device}: {ops} calculates with fewer bits than the switches say",
                    device=name_of(device),
                    ops=", ".join(dict.fromkeys(one.op for one in short_of)),
                ),
                why=_bits_text(short_of[0]),
                evidence=(*(_bits(place, one) for one in short_of[:SHOWN]), *_suspects(case)),
                fixes=_unset(case),
            )


def _bits_text(one: Precision) -> Text:
    if one.operand_bits is not None and one.operand_bits < (one.expected_operand_bits or 0):
        return say(
            "operands in {dtype} keep {bits} bits after the leading one, and should keep {expected}",
            dtype=one.dtype,
            bits=one.operand_bits,
            expected=one.expected_operand_bits,
        )
    return say(
        "running sums in {dtype} keep {bits} bits after the leading one, and should keep {expected}",
        dtype=one.dtype,
        bits=one.sum_bits,
        expected=one.expected_sum_bits,
    )


def _bits(place: int, one: Precision) -> Evidence:
    value = (
        f"{one.op} {one.dtype}: operands {one.operand_bits} of {one.expected_operand_bits} bits ({one.operand_leg}),"
        f" sums {one.sum_bits} of {one.expected_sum_bits}"
    )
    return fact(f"gradients.devices[{place}].precision", value, "backprop")


_SUSPECTS = (
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)


def _set_suspects(case: Case) -> list[tuple[str, str]]:
    variables = found_in(case).variables
    return [(name, variables[name]) for name in _SUSPECTS if name in variables]


def _suspects(case: Case) -> tuple[Evidence, ...]:
    return tuple(fact(f"gradients.variables.{name}", value, "backprop") for name, value in _set_suspects(case))


def _unset(case: Case) -> tuple[Fix, ...]:
    names = [name for name, _ in _set_suspects(case)]
    if not names:
        return (remedies.step(say("Look for code that replaces matrix products or convolutions (plugins, patches)")),)
    windows = remedies.shell_of(case) == "powershell"
    commands = [f"Remove-Item Env:{name}" if windows else f"unset {name}" for name in names]
    return tuple(remedies.line(say("Unset the variable"), one) for one in commands)


@check("EC510", "devices-disagree", severity="warning", needs=NEEDS)
def devices_disagree(this: Check, case: Case) -> Iterator[Finding]:
    """GPUs of one model give different bits for the same numbers.

    What it means: Each of the GPUs repeats its own results, but they do not agree with each other, although they are
    the same model with the same software. All stay within the limits of rounding.

    Common causes: A GPU that computes slightly wrong, different clocks or partitions (MIG) that make a library choose
    other kernels.

    What to do: Compare which GPU stands alone, and test that one longer on its own.
    """
    for one in found_in(case).disagreements:
        yield this.finding(
            say("{devices} give different bits: {ops}", devices=", ".join(one.devices), ops=", ".join(one.ops[:6])),
            evidence=(
                fact("gradients.disagreements", f"{' '.join(one.devices)}: {' '.join(one.ops[:12])}", "backprop"),
            ),
        )


@check("EC511", "not-deterministic", severity="info", needs=NEEDS)
def not_deterministic(this: Check, case: Case) -> Iterator[Finding]:
    """An operation gives other bits each time.

    What it means: The same numbers were given to the operation three times, and the results differ in their last
    bits. Each of them is right within rounding. Two trainings with the same seed will not be equal.

    Common causes: Sums in an order that changes (atomic additions on a GPU), algorithms chosen by timing.

    What to do: If runs must be equal: torch.use_deterministic_algorithms(True), with CUBLAS_WORKSPACE_CONFIG=:4096:8
    for CUDA.
    """
    asked = found_in(case).switches.get("are_deterministic_algorithms_enabled") == "True"
    for place, device in enumerate(found_in(case).devices):
        unsteady = [one for one in device.cases if one.repeatable is False]
        if unsteady:
            yield this.finding(
                say("{device}: not the same bits each time: {ops}", device=name_of(device), ops=ops_of(unsteady)),
                evidence=(fact(f"gradients.devices[{place}].cases", ops_of(unsteady), "backprop"),),
                severity="warning" if asked else None,
            )


@check("EC512", "reduced-precision-on", severity="info", needs=NEEDS)
def reduced_precision_on(this: Check, case: Case) -> Iterator[Finding]:
    """TF32 or another reduced precision is switched on.

    What it means: torch's own switches let float32 products use operands of fewer bits (10 for TF32, 7 for bfloat16).
    That is faster and usually good enough; gradients in float32 are then right to three or four digits.

    Common causes: It is the default for convolutions on NVIDIA GPUs. torch.set_float32_matmul_precision("high") or
    torch.backends.cuda.matmul.allow_tf32 = True do it for products.

    What to do: Nothing, unless results must agree with another machine. Then
    torch.set_float32_matmul_precision("highest") and torch.backends.cudnn.allow_tf32 = False.
    """
    for place, device in enumerate(found_in(case).devices):
        reduced = [one for one in device.precision if one.switch is not None]
        if reduced:
            yield this.finding(
                say(
                    "{device}: float32 {ops} in reduced precision, as switched on",
                    device=name_of(device),
                    ops=", ".join(dict.fromkeys(one.op for one in reduced)),
                ),
                why=None
                if device.tf32_effect is None
                else say(
                    "the worst float32 error is {times} times that of full float32", times=short(device.tf32_effect)
                ),
                evidence=tuple(
                    fact(f"gradients.devices[{place}].precision", f"{one.op}: {one.switch}", "backprop")
                    for one in reduced
                ),
            )


@check("EC513", "subnormals-flushed", severity="warning", needs=NEEDS)
def subnormals_flushed(this: Check, case: Case) -> Iterator[Finding]:
    """Numbers below 2**-126 become zero.

    What it means: float32 can hold numbers down to 2**-149. On this device an operation turns those below 2**-126,
    the subnormal ones, into zero. Gradients that small are lost.

    Common causes: A library compiled with -ffast-math that changes the processor's mode when it is loaded,
    torch.set_flush_denormal(True), a GPU's matrix units (documented for MI200 in float16 and bfloat16).

    What to do: Rarely matters for float32 training. Find the library that sets the mode, or scale the loss.
    """
    for place, device in enumerate(found_in(case).devices):
        flushed = [one.op for one in device.precision if one.subnormals is False]
        if flushed:
            yield this.finding(
                say(
                    "{device}: very small numbers become zero in {ops}", device=name_of(device), ops=", ".join(flushed)
                ),
                evidence=(fact(f"gradients.devices[{place}].precision", " ".join(flushed), "backprop"),),
            )


@check("EC514", "no-gpu-tested", severity="info", needs=NEEDS)
def no_gpu_tested(this: Check, case: Case) -> Iterator[Finding]:
    """Only the CPU was tested: torch offers no GPU here.

    What it means: Back-propagation was verified on the CPU alone. Nothing is known about a GPU.

    Common causes: The machine has none, the PyTorch build is for CPUs, or the driver does not work.

    What to do: If the machine has a GPU that should be used, run `envcheck doctor`.
    """
    if not found_in(case).gpus:
        yield this.finding(
            say("No GPU was tested: only the CPU"),
            evidence=(fact("gradients.devices", "cpu", "backprop"),),
        )


@check("EC515", "inexact-algorithm", severity="info", needs=NEEDS)
def inexact_algorithm(this: Check, case: Case) -> Iterator[Finding]:
    """A convolution calculates with fractions where whole numbers would do.

    What it means: The results of the exact cases are right when rounded to whole numbers, but not bit for bit. The
    library chose an algorithm (Winograd, FFT) that multiplies by fractions such as 1/6.

    Common causes: That is how cuDNN, MIOpen and, on processors without oneDNN, NNPACK compute small convolutions
    quickly.

    What to do: Nothing. Such convolutions are still held to the limits of rounding.
    """
    for bad in bad_cases(case, ("exact",), "inexact"):
        yield this.finding(
            say("{device}: inexact algorithms for {ops}", device=name_of(bad.device), ops=ops_of(bad.cases)),
            evidence=bad.evidence(),
        )


CHECKS = (
    precision_below_switches,
    devices_disagree,
    not_deterministic,
    reduced_precision_on,
    subnormals_flushed,
    no_gpu_tested,
    inexact_algorithm,
)
