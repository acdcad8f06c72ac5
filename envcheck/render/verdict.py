"""The conclusion in words: what the verdict is, what can train, what to do next. Shared by the faces."""

from collections import Counter

from envcheck.model.report import SEVERITIES, Finding, Report
from envcheck.model.text import Text, say
from envcheck.render.gpus import devices


def headline(report: Report) -> Text:
    """The verdict in one sentence."""
    primary = report.primary_finding
    if report.verdict == "problem" and primary is not None:
        if primary.confidence == "possible":
            return (
                say("Possible cause: {code}. What to do stands under it.", code=primary.code)
                if primary.fixes
                else say("Possible cause: {code}.", code=primary.code)
            )
        return (
            say("Problem: {code}. What to do stands under it.", code=primary.code)
            if primary.fixes
            else say("Problem: {code}.", code=primary.code)
        )
    if report.verdict == "problem":
        return say("Problem.")
    if report.verdict == "unknown":
        return say("Undecided: not enough is known.")
    return say("Nothing is wrong.") if primary is None else say("Nothing keeps PyTorch from working.")


def trains_on(report: Report) -> Text:
    """What this environment was seen to train on."""
    if report.can_train:
        return say("This environment can train on: {devices}.", devices=devices(report.can_train))
    if report.verdict == "problem":
        return say("This environment cannot train as it is.")
    return say("Training was not tried.")


def tally(report: Report) -> tuple[Text, ...]:
    """How many findings of each kind there are, kinds without any left out."""
    count = Counter("symptom" if one.caused_by else one.severity for one in report.findings)
    kinds = {
        "error": say("errors: {count}", count=count["error"]),
        "warning": say("warnings: {count}", count=count["warning"]),
        "symptom": say("symptoms of them: {count}", count=count["symptom"]),
        "info": say("hints: {count}", count=count["info"]),
    }
    return tuple(text for kind, text in kinds.items() if count[kind])


def symptoms(report: Report, cause: Finding) -> list[Finding]:
    """The findings that `cause` explains."""
    return [one for one in report.findings if one.caused_by == cause.code]


def others(report: Report) -> list[Finding]:
    """Findings that stand beside the primary one: neither it nor explained by it or another; worst first."""
    primary = report.primary_finding
    beside = [one for one in report.findings if one is not primary and one.caused_by is None]
    return sorted(beside, key=lambda one: SEVERITIES.index(one.severity))
