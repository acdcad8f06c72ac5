"""Small phrases that every face writes alike: evidence, commands, how the interpreter was chosen."""

from collections.abc import Iterable, Iterator

from envcheck.model.report import CheckResult, Evidence, Fix
from envcheck.model.shell import join
from envcheck.model.text import Text, say
from envcheck.render.clean import clean, clean_lines
from envcheck.render.voice import Voice

MOST_LOOKS = 64
"""So many are listed; a machine has about a dozen."""


def evidence_line(evidence: Evidence, voice: Voice) -> str:
    """`torch.variant = cpu (torch/version.py)`; the look stands in where no place is known.

    A line that is quoted stands for itself, with its number in what was pasted.
    """
    where = evidence.where or evidence.look
    number, colon, quoted = (evidence.where or "").partition(": ")
    if colon and number.isdigit():
        place = voice(say("line {number}", number=number))
        if evidence.fact == "messages" or evidence.value in quoted:
            return clean(f"{evidence.value if evidence.fact == 'messages' else quoted} ({place})")
        return clean(f"{evidence.fact} = {evidence.value} ({place}: {quoted})")
    shown = evidence.value if evidence.fact == "messages" else f"{evidence.fact} = {evidence.value}"
    return clean(shown) + (f" ({clean(where)})" if where and where != evidence.fact else "")


def command_lines(fix: Fix) -> list[str]:
    """The lines to paste; none when the step has no command."""
    return clean_lines(fix.shell or (join(fix.argv) if fix.argv else ""))


def labelled(fixes: Iterable[Fix]) -> Iterator[tuple[Text, Fix]]:
    """Each fix with the word before it: `fix`, `then` for the next step, `or` for another way."""
    for number, fix in enumerate(fixes):
        yield _OR if fix.alternative and number else _THEN if number else _FIX, fix


def chosen_by(how: str | None) -> str:
    """The option or variable that chose the interpreter, as it is written on a command line."""
    if how is None:
        return "?"
    return f"${how}" if how in ("VIRTUAL_ENV", "CONDA_PREFIX", "PATH") else how


def grouped(results: Iterable[CheckResult]) -> list[tuple[Text, Text | None, tuple[str, ...]]]:
    """Checks that did not pass: how they ended, why, and their codes; those alike together, in order."""
    groups: dict[tuple[str, str], list[CheckResult]] = {}
    for one in results:
        if one.status != "pass":
            groups.setdefault((one.status, repr(one.why)), []).append(one)
    ordered = sorted(groups.values(), key=lambda group: _ORDER.index(group[0].status))
    return [(_STATUSES[group[0].status], group[0].why, tuple(one.code for one in group)) for group in ordered]


_FIX, _THEN, _OR = say("fix"), say("then"), say("or")
_ORDER = ("fail", "unknown", "skipped")
_STATUSES = {"fail": say("found"), "skipped": say("skipped"), "unknown": say("unknown")}
