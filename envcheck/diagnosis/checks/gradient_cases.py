"""What the checks of gradients share: the cases that went wrong, how they are shown, what to do about them."""

from collections.abc import Iterable, Iterator

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.exhibits import fact
from envcheck.model.base import Plain
from envcheck.model.gradients import GradientCase, GradientDevice, Gradients, Layer
from envcheck.model.partings import number
from envcheck.model.report import Evidence, Fix
from envcheck.model.text import say

NEEDS = ("gradients",)
SHOWN = 3


class Bad(Plain, frozen=True):
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
        return tuple(shown(self.place, one) for one in ordered[:SHOWN])


def found_in(case: Case) -> Gradients:
    """What was found; every check here needs it."""
    assert case.gradients is not None
    return case.gradients


def bad_cases(case: Case, layers: tuple[Layer, ...], *outcomes: str, slope: bool | None = None) -> Iterator[Bad]:
    """For each device the cases of those layers that ended so; `slope`: only those that a systematic part gave away."""
    for place, device in enumerate(found_in(case).devices):
        cases = tuple(
            one
            for one in device.cases
            if one.layer in layers and one.outcome in outcomes and (slope is None or slope == only_systematic(one))
        )
        if cases:
            yield Bad(device, place, cases)


def only_systematic(one: GradientCase) -> bool:
    """Whether no number is out of its bounds, but all of them together are."""
    error, bound = number(one.error), number(one.limit)
    return error is not None and bound is not None and error <= bound


def shown(place: int, one: GradientCase) -> Evidence:
    """A case as evidence: what parted, in numbers that lose no bit."""
    where = f"gradients.devices[{place}].cases"
    words = [one.op, one.dtype]
    if one.parting is not None:
        at = str(list(one.parting.index)) if one.parting.index else ""
        words += [one.parting.run, one.parting.leg + at, f"expected {one.parting.expected}", f"got {one.parting.got}"]
        words += [f"{one.parting.ulps} ulp"] if one.parting.ulps is not None else []
    words += [one.text] if one.text else []
    return fact(where, " ".join(word for word in words if word)[:240], "backprop")


def name_of(device: GradientDevice) -> str:
    """The device, and which GPU it is."""
    return device.device if device.name is None or device.kind == "cpu" else f"{device.device} ({device.name})"


def ops_of(cases: Iterable[GradientCase]) -> str:
    """The first few operations, each once."""
    names = list(dict.fromkeys(one.op for one in cases))
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def again(case: Case, device: GradientDevice) -> tuple[Fix, ...]:
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
    replace = say("If they stay the same: put another build of PyTorch in place")
    fixes.append(remedies.envcheck(case, replace, "install", alternative=True))
    return tuple(fixes)


def leg_of(one: GradientCase) -> str:
    """The tensor that was worst."""
    return one.error_leg or (one.parting.leg if one.parting else "?")
