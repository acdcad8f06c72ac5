"""The JSON document: the contract with programs. `report.schema.json`, made from these types, ships beside them.

Within `schema` 1 fields are only added. Texts are in the language of the report; codes, slugs, states, paths and
commands never are.
"""

from collections.abc import Sequence
from typing import Any, Literal, TextIO

import msgspec

from envcheck import __version__
from envcheck.model.base import Value
from envcheck.model.facts import Facts, Observation
from envcheck.model.patterns import regex
from envcheck.model.report import (
    CheckResult,
    Confidence,
    Evidence,
    Examination,
    Finding,
    Fix,
    Report,
    Severity,
    Verdict,
)
from envcheck.render.terminal import can_show
from envcheck.render.voice import Voice


class Target(Value, frozen=True, kw_only=True):
    """The interpreter that was examined, and how it was chosen."""

    python: str | None
    version: str | None
    chosen_by: str | None


class FixDocument(Value, frozen=True, kw_only=True):
    """A step: `shell` is the line to paste, `argv` the same as a list; both empty when there is no command.

    A leading `~` stands for the home directory and `$USER` for the user's name. The shell puts them back in `shell`,
    nobody does in `argv`. `argv` is empty where only a shell can run the line.
    """

    what: str
    argv: tuple[str, ...]
    shell: str
    alternative: bool


class FindingDocument(Value, frozen=True, kw_only=True):
    """A finding; `explains` and `caused_by` name other findings by their codes."""

    code: str
    slug: str
    cause: str | None
    severity: Severity
    title: str
    why: str | None
    evidence: tuple[Evidence, ...]
    fixes: tuple[FixDocument, ...]
    confidence: Confidence
    explains: tuple[str, ...]
    caused_by: str | None


class CheckDocument(Value, frozen=True, kw_only=True):
    """How a check ended, and why it did not run or could not tell."""

    code: str
    slug: str
    status: Literal["pass", "fail", "skipped", "unknown"]
    why: str | None


class ReportDocument(Value, frozen=True, kw_only=True):
    """The conclusion; `primary` is the one root cause."""

    verdict: Verdict
    can_train: tuple[str, ...]
    primary: FindingDocument | None
    runner_up: str | None
    findings: tuple[FindingDocument, ...]
    checks: tuple[CheckDocument, ...]
    probes: tuple[Observation, ...]
    next_steps: tuple[FixDocument, ...]


class Document(Value, frozen=True, kw_only=True):
    """What `envcheck doctor --format json` prints."""

    schema: Literal[1]
    envcheck: str
    language: str
    target: Target
    facts: Facts
    report: ReportDocument


def document(examination: Examination, voice: Voice) -> Document:
    """The document of an examination, its texts in the language of `voice`."""
    python = examination.facts.python
    return Document(
        schema=1,
        envcheck=__version__,
        language=voice.language,
        target=Target(python=python.path, version=python.version, chosen_by=python.chosen_by),
        facts=examination.facts,
        report=_report(examination.report, voice),
    )


def render(examination: Examination, voice: Voice, stream: TextIO) -> str:
    """The document as indented JSON that `stream` can carry: what it cannot show is escaped."""
    return to_json(document(examination, voice), stream)


def to_json(value: Any, stream: TextIO) -> str:
    """Indented JSON with a line break at its end, without a raw control or bidi character in it."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate, from bytes that are no UTF-8
        encoded = msgspec.json.encode(_without_surrogates(msgspec.to_builtins(value)))
    text = msgspec.json.format(encoded, indent=2).decode()
    if not text.isascii() or _DELETE in text:
        text = _NOT_ASCII.sub(lambda found: _shown(found[0], stream), text)
    return text + "\n"


_DELETE = "\x7f"
"""The one control character that JSON leaves as it is."""
_NOT_ASCII = regex(r"[^\x00-\x7e]")


def _shown(char: str, stream: TextIO) -> str:
    if char.isprintable() and can_show(stream, char):
        return char
    pair = char.encode("utf-16-be")
    return "".join(f"\\u{pair[at]:02x}{pair[at + 1]:02x}" for at in range(0, len(pair), 2))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_surrogates(item) for item in value]
    return value


def _report(report: Report, voice: Voice) -> ReportDocument:
    primary = report.primary_finding
    return ReportDocument(
        verdict=report.verdict,
        can_train=report.can_train,
        primary=None if primary is None else _finding(primary, voice),
        runner_up=report.runner_up,
        findings=tuple(_finding(finding, voice) for finding in report.findings),
        checks=tuple(_check(result, voice) for result in report.checks),
        probes=report.probes,
        next_steps=_fixes(report.next_steps, voice),
    )


def _finding(finding: Finding, voice: Voice) -> FindingDocument:
    return FindingDocument(
        code=finding.code,
        slug=finding.slug,
        cause=finding.cause,
        severity=finding.severity,
        title=voice(finding.title),
        why=voice(finding.why) if finding.why else None,
        evidence=finding.evidence,
        fixes=_fixes(finding.fixes, voice),
        confidence=finding.confidence,
        explains=finding.explains,
        caused_by=finding.caused_by,
    )


def _check(result: CheckResult, voice: Voice) -> CheckDocument:
    why = voice(result.why) if result.why else None
    return CheckDocument(code=result.code, slug=result.slug, status=result.status, why=why)


def _fixes(fixes: Sequence[Fix], voice: Voice) -> tuple[FixDocument, ...]:
    return tuple(
        FixDocument(what=voice(fix.what), argv=fix.argv, shell=fix.shell, alternative=fix.alternative) for fix in fixes
    )
