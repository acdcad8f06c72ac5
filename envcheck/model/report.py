"""What diagnosis concludes: findings, the one primary cause, the checks that ran, the verdict."""

from typing import Literal

from envcheck.model.base import Value
from envcheck.model.facts import Facts, Observation
from envcheck.model.text import Text

REPORT_SCHEMA = 1

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
Confidence = Literal["certain", "likely", "possible"]
CONFIDENCES: tuple[Confidence, ...] = ("certain", "likely", "possible")
Verdict = Literal["healthy", "problem", "unknown"]
Status = Literal["pass", "fail", "skipped", "unknown"]


class Evidence(Value, frozen=True, kw_only=True):
    """A fact that a finding rests on: its path in the facts, its value, the look that saw it, where it stood."""

    fact: str
    value: str
    look: str | None = None
    where: str | None = None


class Fix(Value, frozen=True, kw_only=True):
    """One step that mends: a sentence, and a command that can be pasted as it stands.

    `argv` is the command as a list, empty when there is none (reboot, BIOS setting) or when it needs a shell;
    `shell` is the line to paste, quoted for the examined machine's shell. `alternative` marks the beginning of
    another way; a fix without it is the next step of the way before it.
    """

    what: Text
    argv: tuple[str, ...] = ()
    shell: str = ""
    alternative: bool = False


class Finding(Value, frozen=True, kw_only=True):
    """One code that showed itself."""

    code: str
    slug: str
    cause: str | None
    """The cause slug, or None for what is only a symptom or a hint."""
    severity: Severity
    title: Text
    why: Text | None = None
    evidence: tuple[Evidence, ...] = ()
    fixes: tuple[Fix, ...] = ()
    confidence: Confidence = "certain"
    explains: tuple[str, ...] = ()
    """Codes in this report that this one causes (filled in by `diagnose`)."""
    caused_by: str | None = None


class CheckResult(Value, frozen=True, kw_only=True):
    """How one check ended. `skipped`: does not apply or is muted; `unknown`: a fact it needs could not be had."""

    code: str
    slug: str
    status: Status
    why: Text | None = None


class Report(Value, frozen=True, kw_only=True):
    """The conclusion over one machine. `primary` is one of `findings`, named by its code."""

    verdict: Verdict
    can_train: tuple[str, ...]
    """Devices that back-propagation was seen or is known to work on: `cpu`, `cuda:0`, `mps`, ..."""
    primary: str | None
    runner_up: str | None = None
    findings: tuple[Finding, ...]
    checks: tuple[CheckResult, ...]
    probes: tuple[Observation, ...]
    next_steps: tuple[Fix, ...] = ()
    """What to run to be sure, where the evidence does not decide."""

    def finding(self, code: str) -> Finding | None:
        """The first finding of that code."""
        return next((found for found in self.findings if found.code == code), None)

    @property
    def primary_finding(self) -> Finding | None:
        """The finding that is the one cause."""
        return None if self.primary is None else self.finding(self.primary)


class Examination(Value, frozen=True, kw_only=True):
    """Facts and the report made of them: what every face is given."""

    facts: Facts
    report: Report
