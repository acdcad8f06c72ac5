"""EC5xx: back-propagation that computes wrong numbers, or none (what `verify-backprop` found)."""

from collections.abc import Iterator

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.checks.gradient_cases import NEEDS, SHOWN, again, bad_cases, found_in, leg_of, name_of, ops_of
from envcheck.diagnosis.exhibits import fact
from envcheck.model.partings import decimal, parted_text, short
from envcheck.model.report import Finding
from envcheck.model.text import say

_ECHOES = ("EC505", "EC509", "EC510", "EC513")
"""What a device that computes wrong shows as well."""


@check("EC501", "lesson-wrong", needs=NEEDS, explains=("EC502", "EC503", "EC504", *_ECHOES))
def lesson_wrong(this: Check, case: Case) -> Iterator[Finding]:
    """The simplest training loop computes wrong numbers.

    What it means: The chain rule on one variable, a net of two layers with whole numbers, or the loop that learns
    y = w * x gave other numbers than plain Python arithmetic. There is only one right answer to each, down to the
    last bit.

    Common causes: A broken or mismatched math library, a GPU driver with a fault, memory errors, overclocking.

    What to do: Run the check again. The same wrong numbers each time point to a library, changing ones to hardware.
    """
    for bad in bad_cases(case, ("lesson",), "wrong"):
        yield this.finding(
            say("{device}: even y = w * x is not learned right", device=name_of(bad.device)),
            why=parted_text(bad.first),
            evidence=bad.evidence(),
            fixes=again(case, bad.device),
        )


@check("EC502", "exact-gradient-wrong", needs=NEEDS, explains=("EC503", "EC504", *_ECHOES))
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
    for bad in bad_cases(case, ("exact",), "wrong"):
        yield this.finding(
            say("{device}: exact gradients are wrong: {ops}", device=name_of(bad.device), ops=ops_of(bad.cases)),
            why=parted_text(bad.first),
            evidence=bad.evidence(),
            fixes=again(case, bad.device),
        )


@check("EC503", "random-gradient-wrong", needs=NEEDS)
def random_gradient_wrong(this: Check, case: Case) -> Iterator[Finding]:
    """A gradient is further from its float64 reference than rounding can explain.

    What it means: On drawn numbers, one number of a gradient is wrong by many times what rounding can do, given the
    dtype and how sensitive the computation is to its inputs.

    Common causes: Reduced precision that was switched on somewhere (TF32, bfloat16 products, float16 sums), a bug in a
    kernel, failing hardware.

    What to do: See whether EC505 shows as well: then precision is the cause. Otherwise run the check again and try
    another build of PyTorch.
    """
    for bad in bad_cases(case, ("random",), "wrong", slope=False):
        worst = bad.first
        yield this.finding(
            say("{device}: gradients are too far off: {ops}", device=name_of(bad.device), ops=ops_of(bad.cases)),
            why=say(
                "{op} in {dtype}, {leg}: {error} times what one rounding does; the limit is {limit}",
                op=worst.op,
                dtype=worst.dtype,
                leg=leg_of(worst),
                error=short(worst.error),
                limit=short(worst.limit),
            ),
            evidence=bad.evidence(),
            fixes=again(case, bad.device),
        )


@check("EC504", "systematic-gradient-error", needs=NEEDS)
def systematic_gradient_error(this: Check, case: Case) -> Iterator[Finding]:
    """All numbers of a gradient are off in the same direction.

    What it means: Every single number is within its bounds, but together they are too large or too small by a common
    factor. Rounding goes up and down; this does not.

    Common causes: A gradient that is scaled by a wrong factor (a mean for a sum, a loss scale, an average over
    workers), sums cut off instead of rounded.

    What to do: Look for code that changes gradients (hooks, patched functions, a plugin). Otherwise try another build
    of PyTorch.
    """
    for bad in bad_cases(case, ("random",), "wrong", slope=True):
        worst = bad.first
        yield this.finding(
            say("{device}: gradients are scaled: {ops}", device=name_of(bad.device), ops=ops_of(bad.cases)),
            why=say(
                "{op} in {dtype}, gradient of {leg}: {slope} standard deviations; the limit is {limit}",
                op=worst.op,
                dtype=worst.dtype,
                leg=worst.slope_leg or "?",
                slope=short(worst.slope),
                limit=short(worst.slope_limit),
            ),
            evidence=bad.evidence(),
            fixes=again(case, bad.device),
        )


@check("EC506", "reference-wrong", needs=NEEDS)
def reference_wrong(this: Check, case: Case) -> Iterator[Finding]:
    """The float64 reference on the CPU contradicts itself.

    What it means: In float64 on the CPU, the gradients of an operation do not agree with how its output changes when
    its inputs are moved a little. The reference that every other result is held against is wrong itself.

    Common causes: A broken math library for this processor, a patched function, memory errors.

    What to do: Treat the CPU of this machine as untrusted. Reinstall PyTorch; if that does not help, test the memory.
    """
    wrong = [one for one in found_in(case).references if not one.ok]
    if wrong:
        yield this.finding(
            say("cpu: the float64 gradients contradict themselves: {ops}", ops=", ".join(one.op for one in wrong[:6])),
            why=say(
                "the gradients say {analytic} along a direction, the outputs themselves {numeric}",
                analytic=decimal(wrong[0].analytic, "float64"),
                numeric=decimal(wrong[0].numeric, "float64"),
            ),
            evidence=tuple(
                fact("gradients.references", f"{one.op} {one.analytic} {one.numeric}", "backprop")
                for one in wrong[:SHOWN]
            ),
            fixes=remedies.reinstall_torch(case),
        )


@check("EC507", "gradient-case-failed", needs=NEEDS)
def gradient_case_failed(this: Check, case: Case) -> Iterator[Finding]:
    """An operation raised an exception where it should compute.

    What it means: The forward or the backward pass of an operation that this PyTorch offers ended in an exception
    instead of a result. The other operations were still checked.

    Common causes: Too little memory, no kernels for this GPU in the build, a driver fault, a library that is missing
    or of the wrong version.

    What to do: Read the message that is shown. `envcheck doctor` looks for causes such as a build without kernels for
    the GPU.
    """
    for bad in bad_cases(case, ("lesson", "exact", "precision", "random", "load"), "failed"):
        yield this.finding(
            say("{device}: {ops} ended in an exception", device=name_of(bad.device), ops=ops_of(bad.cases)),
            why=say("{text}", text=bad.first.text or ""),
            evidence=bad.evidence(),
            fixes=(remedies.envcheck(case, say("Look for the cause"), "doctor"),),
        )
    for place, device in enumerate(found_in(case).devices):
        if device.kernel_error is not None:
            yield this.finding(
                say("{device}: not even a first kernel runs", device=name_of(device)),
                why=say("{text}", text=device.kernel_error),
                evidence=(fact(f"gradients.devices[{place}].kernel_error", device.kernel_error, "backprop"),),
                fixes=(remedies.envcheck(case, say("Look for the cause"), "doctor"),),
            )


@check("EC508", "crash-in-back-propagation", needs=NEEDS)
def crash_in_back_propagation(this: Check, case: Case) -> Iterator[Finding]:
    """An operation brought the whole process down.

    What it means: The process that ran the check died (a segmentation fault, an illegal instruction, an abort) during
    the operation that is named. It was started again for the others.

    Common causes: A library built for another processor, two OpenMP or CUDA libraries in one process, a driver fault,
    too little memory.

    What to do: Run `envcheck doctor`, then try another build of PyTorch.
    """
    for place, device in enumerate(found_in(case).devices):
        if device.died_in:
            yield this.finding(
                say("{device}: the process died in {step}", device=name_of(device), step=device.died_in[0]),
                evidence=tuple(
                    fact(f"gradients.devices[{place}].died_in", step, "backprop") for step in device.died_in[:SHOWN]
                ),
                fixes=(remedies.envcheck(case, say("Look for the cause"), "doctor"),),
            )


@check("EC509", "wrong-under-load", needs=NEEDS)
def wrong_under_load(this: Check, case: Case) -> Iterator[Finding]:
    """Under load the same work gives wrong numbers.

    What it means: A product of whole numbers with a known result was computed over and over, forward and backward,
    while memory was taken and given back. Not every round was right.

    Common causes: Overheating, overclocking, a weak power supply, memory errors; work on two streams that does not
    wait for each other.

    What to do: Watch temperature and clocks, undo overclocking, and run the check longer (--seconds 600).
    """
    for place, device in enumerate(found_in(case).devices):
        load = device.load
        if load is not None and load.wrong:
            yield this.finding(
                say(
                    "{device}: {wrong} of {rounds} rounds under load were wrong",
                    device=name_of(device),
                    wrong=load.wrong,
                    rounds=load.rounds,
                ),
                evidence=(
                    fact(f"gradients.devices[{place}].load", f"{load.wrong} of {load.rounds} wrong", "backprop"),
                ),
                fixes=again(case, device),
            )


CHECKS = (
    lesson_wrong,
    exact_gradient_wrong,
    random_gradient_wrong,
    systematic_gradient_error,
    reference_wrong,
    gradient_case_failed,
    crash_in_back_propagation,
    wrong_under_load,
)
