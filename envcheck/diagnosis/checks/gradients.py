"""EC5xx: whether back-propagation computes the right numbers (what `verify-backprop` found)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact
from envcheck.model.gradients import GradientCase, GradientDevice, Gradients, Layer, Precision
from envcheck.model.partings import parted_text, short
from envcheck.model.report import Evidence, Finding, Fix
from envcheck.model.text import Text, say

_NEEDS = ("gradients",)
_SHOWN = 3
_ECHOES = ("EC505", "EC509", "EC510", "EC513")
"""What a device that computes wrong shows as well."""


class Bad(NamedTuple):
    """The cases of one device that a check is about."""

    device: GradientDevice
    place: int
    cases: tuple[GradientCase, ...]

    @property
    def first(self) -> GradientCase:
        """The one that parted first."""
        return self.cases[0]

    def evidence(self) -> tuple[Evidence, ...]:
        """The first few operations."""
        firsts = {one.op: one for one in reversed(self.cases)}
        ordered = [one for one in self.cases if firsts[one.op] is one]
        return tuple(_shown(self.place, one) for one in ordered[:_SHOWN])


def _found(case: Case) -> Gradients:
    """What was found; every check here needs it."""
    assert case.gradients is not None
    return case.gradients


def _bad(case: Case, layers: tuple[Layer, ...], *outcomes: str, slope: bool | None = None) -> Iterator[Bad]:
    """For each device the cases of those layers that ended so; `slope`: only those that a systematic part gave away."""
    for place, device in enumerate(_found(case).devices):
        cases = tuple(
            one
            for one in device.cases
            if one.layer in layers and one.outcome in outcomes and (slope is None or slope == only_systematic(one))
        )
        if cases:
            yield Bad(device, place, cases)


def only_systematic(one: GradientCase) -> bool:
    """Whether no number is out of its bounds, but all of them together are."""
    return bool(one.error and one.limit) and float.fromhex(one.error or "0") <= float.fromhex(one.limit or "0")


def _shown(place: int, one: GradientCase) -> Evidence:
    where = f"gradients.devices[{place}].cases"
    words = [one.op, one.dtype]
    if one.parting is not None:
        at = str(list(one.parting.index)) if one.parting.index else ""
        words += [one.parting.run, one.parting.leg + at, f"expected {one.parting.expected}", f"got {one.parting.got}"]
        words += [f"{one.parting.ulps} ulp"] if one.parting.ulps is not None else []
    words += [one.text] if one.text else []
    return fact(where, " ".join(word for word in words if word)[:240], "backprop")


def _name(device: GradientDevice) -> str:
    return device.device if device.name is None or device.kind == "cpu" else f"{device.device} ({device.name})"


def _ops(cases: Iterable[GradientCase]) -> str:
    names = list(dict.fromkeys(one.op for one in cases))
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def _again(case: Case, device: GradientDevice) -> tuple[Fix, ...]:
    """What tells a broken library from a flaky machine, and what to do about each."""
    once = say("Run it for a minute: the same numbers each time mean a library, changing ones mean hardware")
    fixes = [remedies.envcheck(case, once, "verify-backprop", "--device", device.device, "--seconds", "60")]
    if device.kind == "cuda":
        fixes.append(
            remedies.command(
                case, say("Let NVIDIA's diagnosis test the GPU (data center GPUs)"), "dcgmi", "diag", "-r", "3"
            )
        )
    if device.kind == "cpu":
        memory = say("If the numbers change from run to run: test the memory, and undo any overclocking")
        fixes.append(remedies.step(memory, alternative=True))
    replace = say("If they do not: put another build of PyTorch in place")
    fixes.append(remedies.envcheck(case, replace, "install", alternative=True))
    return tuple(fixes)


@check("EC501", "lesson-wrong", needs=_NEEDS, explains=("EC502", "EC503", "EC504", *_ECHOES))
def lesson_wrong(this: Check, case: Case) -> Iterator[Finding]:
    """The simplest training loop computes wrong numbers.

    What it means: The chain rule on one variable, a net of two layers with whole numbers, or the loop that learns
    y = w * x gave other numbers than plain Python arithmetic. There is only one right answer to each, down to the
    last bit.

    Common causes: A broken or mismatched math library, a GPU driver with a fault, memory errors, overclocking.

    What to do: Run the check again. The same wrong numbers each time point to a library, changing ones to hardware.
    """
    for bad in _bad(case, ("lesson",), "wrong"):
        yield this.finding(
            say("{device}: even y = w * x is not learned right", device=_name(bad.device)),
            why=parted_text(bad.first),
            evidence=bad.evidence(),
            fixes=_again(case, bad.device),
        )


@check("EC502", "exact-gradient-wrong", needs=_NEEDS, explains=("EC503", "EC504", *_ECHOES))
def exact_gradient_wrong(this: Check, case: Case) -> Iterator[Finding]:
    """A gradient that must be a whole number is another one.

    What it means: The operation was given small whole numbers, chosen so that every order of summation, in every
    number format, gives the same result. One number of its output or of a gradient is not that result. This is never
    rounding: a kernel computes something else, or a bit flipped.

    Common causes: A bug in a kernel for this device, dtype, memory layout or batch size; a library built for another
    processor; hardware that is failing or overclocked.

    What to do: Do not train with this operation on this device. Run the check again to see whether it repeats itself,
    try another build of PyTorch, and report it with the line that is shown.
    """
    for bad in _bad(case, ("exact",), "wrong"):
        yield this.finding(
            say("{device}: exact gradients are wrong: {ops}", device=_name(bad.device), ops=_ops(bad.cases)),
            why=parted_text(bad.first),
            evidence=bad.evidence(),
            fixes=_again(case, bad.device),
        )


@check("EC503", "random-gradient-wrong", needs=_NEEDS)
def random_gradient_wrong(this: Check, case: Case) -> Iterator[Finding]:
    """A gradient is further from its float64 reference than rounding can explain.

    What it means: On drawn numbers, one number of a gradient is wrong by many times what rounding can do, given the
    dtype and how sensitive the computation is to its inputs.

    Common causes: Reduced precision that was switched on somewhere (TF32, bfloat16 products, float16 sums), a bug in a
    kernel, failing hardware.

    What to do: See whether EC505 shows as well: then precision is the cause. Otherwise run the check again and try
    another build of PyTorch.
    """
    for bad in _bad(case, ("random",), "wrong", slope=False):
        worst = bad.first
        yield this.finding(
            say("{device}: gradients are too far off: {ops}", device=_name(bad.device), ops=_ops(bad.cases)),
            why=say(
                "{op} in {dtype}, {leg}: {error} times what one rounding does; the limit is {limit}",
                op=worst.op,
                dtype=worst.dtype,
                leg=leg_of(worst),
                error=short(worst.error),
                limit=short(worst.limit),
            ),
            evidence=bad.evidence(),
            fixes=_again(case, bad.device),
        )


@check("EC504", "systematic-gradient-error", needs=_NEEDS)
def systematic_gradient_error(this: Check, case: Case) -> Iterator[Finding]:
    """All numbers of a gradient are off in the same direction.

    What it means: Every single number is within its bounds, but together they are too large or too small by a common
    factor. Rounding goes up and down; this does not.

    Common causes: A gradient that is scaled by a wrong factor (a mean for a sum, a loss scale, an average over
    workers), sums cut off instead of rounded.

    What to do: Look for code that changes gradients (hooks, patched functions, a plugin). Otherwise try another build
    of PyTorch.
    """
    for bad in _bad(case, ("random",), "wrong", slope=True):
        worst = bad.first
        yield this.finding(
            say("{device}: gradients are scaled: {ops}", device=_name(bad.device), ops=_ops(bad.cases)),
            why=say(
                "{op} in {dtype}, gradient of {leg}: {slope} standard deviations; the limit is {limit}",
                op=worst.op,
                dtype=worst.dtype,
                leg=worst.slope_leg or "?",
                slope=short(worst.slope),
                limit=short(worst.slope_limit),
            ),
            evidence=bad.evidence(),
            fixes=_again(case, bad.device),
        )


@check("EC505", "precision-below-switches", needs=_NEEDS, explains=("EC503", "EC504"))
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
    for place, device in enumerate(_found(case).devices):
        short_of = [one for one in device.precision if one.short]
        if short_of:
            yield this.finding(
                say(
                    "{device}: {ops} calculates with fewer bits than the switches say",
                    device=_name(device),
                    ops=", ".join(dict.fromkeys(one.op for one in short_of)),
                ),
                why=_bits_text(short_of[0]),
                evidence=(*(_bits(place, one) for one in short_of[:_SHOWN]), *_suspects(case)),
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
    variables = _found(case).variables
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


@check("EC506", "reference-wrong", needs=_NEEDS)
def reference_wrong(this: Check, case: Case) -> Iterator[Finding]:
    """The float64 reference on the CPU contradicts itself.

    What it means: In float64 on the CPU, the gradients of an operation do not agree with how its output changes when
    its inputs are moved a little. The reference that every other result is held against is wrong itself.

    Common causes: A broken math library for this processor, a patched function, memory errors.

    What to do: Treat the CPU of this machine as untrusted. Reinstall PyTorch; if that does not help, test the memory.
    """
    wrong = [one for one in _found(case).references if not one.ok]
    if wrong:
        yield this.finding(
            say("cpu: the float64 gradients contradict themselves: {ops}", ops=", ".join(one.op for one in wrong[:6])),
            why=say(
                "the gradients say {analytic} along a direction, the outputs themselves {numeric}",
                analytic=f"{float.fromhex(wrong[0].analytic):.12g}",
                numeric=f"{float.fromhex(wrong[0].numeric):.12g}",
            ),
            evidence=tuple(
                fact("gradients.references", f"{one.op} {one.analytic} {one.numeric}", "backprop")
                for one in wrong[:_SHOWN]
            ),
            fixes=remedies.reinstall_torch(case),
        )


@check("EC507", "gradient-case-failed", needs=_NEEDS)
def gradient_case_failed(this: Check, case: Case) -> Iterator[Finding]:
    """An operation raised an exception where it should compute.

    What it means: The forward or the backward pass of an operation that this PyTorch offers ended in an exception
    instead of a result. The other operations were still checked.

    Common causes: Too little memory, no kernels for this GPU in the build, a driver fault, a library that is missing
    or of the wrong version.

    What to do: Read the message that is shown. `envcheck doctor` looks for causes such as a build without kernels for
    the GPU.
    """
    for bad in _bad(case, ("lesson", "exact", "precision", "random", "load"), "failed"):
        yield this.finding(
            say("{device}: {ops} ended in an exception", device=_name(bad.device), ops=_ops(bad.cases)),
            why=say("{text}", text=bad.first.text or ""),
            evidence=bad.evidence(),
            fixes=(remedies.envcheck(case, say("Look for the cause"), "doctor"),),
        )
    for place, device in enumerate(_found(case).devices):
        if device.kernel_error is not None:
            yield this.finding(
                say("{device}: not even a first kernel runs", device=_name(device)),
                why=say("{text}", text=device.kernel_error),
                evidence=(fact(f"gradients.devices[{place}].kernel_error", device.kernel_error, "backprop"),),
                fixes=(remedies.envcheck(case, say("Look for the cause"), "doctor"),),
            )


@check("EC508", "crash-in-back-propagation", needs=_NEEDS)
def crash_in_back_propagation(this: Check, case: Case) -> Iterator[Finding]:
    """An operation brought the whole process down.

    What it means: The process that ran the check died (a segmentation fault, an illegal instruction, an abort) during
    the operation that is named. It was started again for the others.

    Common causes: A library built for another processor, two OpenMP or CUDA libraries in one process, a driver fault,
    too little memory.

    What to do: Run `envcheck doctor`, then try another build of PyTorch.
    """
    for place, device in enumerate(_found(case).devices):
        if device.died_in:
            yield this.finding(
                say("{device}: the process died in {step}", device=_name(device), step=device.died_in[0]),
                evidence=tuple(
                    fact(f"gradients.devices[{place}].died_in", step, "backprop") for step in device.died_in[:_SHOWN]
                ),
                fixes=(remedies.envcheck(case, say("Look for the cause"), "doctor"),),
            )


@check("EC509", "wrong-under-load", needs=_NEEDS)
def wrong_under_load(this: Check, case: Case) -> Iterator[Finding]:
    """Under load the same work gives wrong numbers.

    What it means: A product of whole numbers with a known result was computed over and over, forward and backward,
    while memory was taken and given back. Not every round was right.

    Common causes: Overheating, overclocking, a weak power supply, memory errors; work on two streams that does not
    wait for each other.

    What to do: Watch temperature and clocks, undo overclocking, and run the check longer (--seconds 600).
    """
    for place, device in enumerate(_found(case).devices):
        load = device.load
        if load is not None and load.wrong:
            yield this.finding(
                say(
                    "{device}: {wrong} of {rounds} rounds under load were wrong",
                    device=_name(device),
                    wrong=load.wrong,
                    rounds=load.rounds,
                ),
                evidence=(
                    fact(f"gradients.devices[{place}].load", f"{load.wrong} of {load.rounds} wrong", "backprop"),
                ),
                fixes=_again(case, device),
            )


@check("EC510", "devices-disagree", severity="warning", needs=_NEEDS)
def devices_disagree(this: Check, case: Case) -> Iterator[Finding]:
    """GPUs of one model give different bits for the same numbers.

    What it means: Each of the GPUs repeats its own results, but they do not agree with each other, although they are
    the same model with the same software. All stay within the limits of rounding.

    Common causes: A GPU that computes slightly wrong, different clocks or partitions (MIG) that make a library choose
    other kernels.

    What to do: Compare which GPU stands alone, and test that one longer on its own.
    """
    for one in _found(case).disagreements:
        yield this.finding(
            say("{devices} give different bits: {ops}", devices=", ".join(one.devices), ops=", ".join(one.ops[:6])),
            evidence=(
                fact("gradients.disagreements", f"{' '.join(one.devices)}: {' '.join(one.ops[:12])}", "backprop"),
            ),
        )


@check("EC511", "not-deterministic", severity="info", needs=_NEEDS)
def not_deterministic(this: Check, case: Case) -> Iterator[Finding]:
    """An operation gives other bits each time.

    What it means: The same numbers were given to the operation three times, and the results differ in their last
    bits. Each of them is right within rounding. Two trainings with the same seed will not be equal.

    Common causes: Sums in an order that changes (atomic additions on a GPU), algorithms chosen by timing.

    What to do: If runs must be equal: torch.use_deterministic_algorithms(True), with CUBLAS_WORKSPACE_CONFIG=:4096:8
    for CUDA.
    """
    asked = _found(case).switches.get("are_deterministic_algorithms_enabled") == "True"
    for place, device in enumerate(_found(case).devices):
        unsteady = [one for one in device.cases if one.repeatable is False]
        if unsteady:
            yield this.finding(
                say("{device}: not the same bits each time: {ops}", device=_name(device), ops=_ops(unsteady)),
                evidence=(fact(f"gradients.devices[{place}].cases", _ops(unsteady), "backprop"),),
                severity="warning" if asked else None,
            )


@check("EC512", "reduced-precision-on", severity="info", needs=_NEEDS)
def reduced_precision_on(this: Check, case: Case) -> Iterator[Finding]:
    """TF32 or another reduced precision is switched on.

    What it means: torch's own switches let float32 products use operands of fewer bits (10 for TF32, 7 for bfloat16).
    That is faster and usually good enough; gradients in float32 are then right to three or four digits.

    Common causes: It is the default for convolutions on NVIDIA GPUs. torch.set_float32_matmul_precision("high") or
    torch.backends.cuda.matmul.allow_tf32 = True do it for products.

    What to do: Nothing, unless results must agree with another machine. Then
    torch.set_float32_matmul_precision("highest") and torch.backends.cudnn.allow_tf32 = False.
    """
    for place, device in enumerate(_found(case).devices):
        reduced = [one for one in device.precision if one.switch is not None]
        if reduced:
            yield this.finding(
                say(
                    "{device}: float32 {ops} in reduced precision, as switched on",
                    device=_name(device),
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


@check("EC513", "subnormals-flushed", severity="warning", needs=_NEEDS)
def subnormals_flushed(this: Check, case: Case) -> Iterator[Finding]:
    """Numbers below 2**-126 become zero.

    What it means: float32 can hold numbers down to 2**-149. On this device an operation turns those below 2**-126,
    the subnormal ones, into zero. Gradients that small are lost.

    Common causes: A library compiled with -ffast-math that changes the processor's mode when it is loaded,
    torch.set_flush_denormal(True), a GPU's matrix units (documented for MI200 in float16 and bfloat16).

    What to do: Rarely matters for float32 training. Find the library that sets the mode, or scale the loss.
    """
    for place, device in enumerate(_found(case).devices):
        flushed = [one.op for one in device.precision if one.subnormals is False]
        if flushed:
            yield this.finding(
                say("{device}: very small numbers become zero in {ops}", device=_name(device), ops=", ".join(flushed)),
                evidence=(fact(f"gradients.devices[{place}].precision", " ".join(flushed), "backprop"),),
            )


@check("EC514", "no-gpu-tested", severity="info", needs=_NEEDS)
def no_gpu_tested(this: Check, case: Case) -> Iterator[Finding]:
    """Only the CPU was tested: torch offers no GPU here.

    What it means: Back-propagation was verified on the CPU alone. Nothing is known about a GPU.

    Common causes: The machine has none, the PyTorch build is for CPUs, or the driver does not work.

    What to do: If the machine has a GPU that should be used, run `envcheck doctor`.
    """
    if not _found(case).gpus:
        yield this.finding(
            say("No GPU was tested: only the CPU"),
            evidence=(fact("gradients.devices", "cpu", "backprop"),),
        )


@check("EC515", "inexact-algorithm", severity="info", needs=_NEEDS)
def inexact_algorithm(this: Check, case: Case) -> Iterator[Finding]:
    """A convolution calculates with fractions where whole numbers would do.

    What it means: The results of the exact cases are right when rounded to whole numbers, but not bit for bit. The
    library chose an algorithm (Winograd, FFT) that multiplies by fractions such as 1/6.

    Common causes: That is how cuDNN and MIOpen compute small convolutions quickly.

    What to do: Nothing. Such convolutions are still held to the limits of rounding.
    """
    for bad in _bad(case, ("exact",), "inexact"):
        yield this.finding(
            say("{device}: inexact algorithms for {ops}", device=_name(bad.device), ops=_ops(bad.cases)),
            evidence=bad.evidence(),
        )


# Words ---------------------------------------------------------------------------------------------------------------


def leg_of(one: GradientCase) -> str:
    """The tensor that was worst."""
    return one.error_leg or (one.parting.leg if one.parting else "?")


CHECKS = (
    lesson_wrong,
    exact_gradient_wrong,
    precision_below_switches,
    random_gradient_wrong,
    systematic_gradient_error,
    reference_wrong,
    gradient_case_failed,
    crash_in_back_propagation,
    wrong_under_load,
    devices_disagree,
    not_deterministic,
    reduced_precision_on,
    subnormals_flushed,
    no_gpu_tested,
    inexact_algorithm,
)
