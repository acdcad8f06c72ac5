"""What parted, in words: the same for every face and for the findings."""

from math import inf, isfinite

from envcheck.model.gradients import GradientCase, Parting
from envcheck.model.text import Text, say

RUNS: dict[str, Text] = {
    "first": say("in the first pass"),
    "second": say("with another upstream gradient"),
    "again": say("when the first pass was run again"),
    "expanded": say("with an upstream gradient of stride 0"),
    "strided": say("with tensors that are not contiguous"),
    "nan": say("with NaN in the upstream gradient"),
    "frozen": say("with an input that needs no gradient"),
    "large": say("in a batch of 65,537 rows"),
}
"""The passes of an exact case by their names (`frozen:w` goes by `frozen`)."""


def parted_text(case: GradientCase) -> Text:
    """Operation, dtype, leg and place, and the two numbers; or what the exception said."""
    found = case.parting
    if found is None:
        return say("{op} in {dtype}: {text}", op=case.op, dtype=case.dtype, text=case.text or case.outcome)
    values = {
        "op": case.op,
        "dtype": case.dtype,
        "leg": found.leg,
        "place": str(list(found.index)),
        "got": decimal(found.got, case.dtype),
        "expected": decimal(found.expected, case.dtype),
    }
    if not found.index:
        return say("{op} in {dtype}: {leg} is {got}, not {expected}", **values)
    if found.leg == "out":
        return say("{op} in {dtype}: the output at {place} is {got}, not {expected}", **values)
    return say("{op} in {dtype}: the gradient of {leg} at {place} is {got}, not {expected}", **values)


def run_text(found: Parting) -> Text | None:
    """In which pass it parted."""
    return RUNS.get(found.run.partition(":")[0])


def in_words(found: Parting) -> Text:
    """How far it is, in units in the last place and in words."""
    expected, got = number(found.expected), number(found.got)
    values = {"wrong": found.wrong, "size": found.size, "ulps": f"{found.ulps or 0:,}"}
    if found.ulps is None or expected is None or got is None:
        return say("not a number where there should be one, or the reverse; {wrong} of {size} are wrong", **values)
    off = abs(got - expected) / abs(expected) if expected else inf
    values["percent"] = f"{off * 100:.2g}"
    words = (
        (found.ulps == 1, say("1 ulp: the last bit; {wrong} of {size} numbers are wrong", **values)),
        (not isfinite(got), say("infinite; {wrong} of {size} numbers are wrong", **values)),
        (expected == -got, say("{ulps} ulp: the sign is turned; {wrong} of {size} numbers are wrong", **values)),
        (not got, say("{ulps} ulp: the number is lost; {wrong} of {size} numbers are wrong", **values)),
        (off < 1e-5, say("{ulps} ulp: the last few bits; {wrong} of {size} numbers are wrong", **values)),
        (off < 1e-2, say("{ulps} ulp: off by {percent} %; {wrong} of {size} numbers are wrong", **values)),
        (True, say("{ulps} ulp: another number altogether; {wrong} of {size} numbers are wrong", **values)),
    )
    return next(text for fits, text in words if fits)


def number(text: str | None) -> float | None:
    """A number from its hexadecimal text; None when it is none."""
    try:
        return float.fromhex(text or "")
    except ValueError:
        return None


def decimal(text: str, dtype: str) -> str:
    """A hexadecimal number in as many digits as tell it from its neighbours in that dtype; other text as it is."""
    value = number(text)
    if value is None:
        return text
    return f"{value:.17g}" if dtype == "float64" else f"{value:.9g}"


def short(text: str | None) -> str:
    """A hexadecimal number in three digits."""
    value = number(text)
    return "?" if value is None else f"{value:.3g}"
