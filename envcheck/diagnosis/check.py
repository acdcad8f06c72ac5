"""What a check is: a function from a case to findings, with its code, and a docstring that is its page.

The docstring has four parts divided by blank lines: a one-line title, then paragraphs that begin with
`What it means:`, `Common causes:` and `What to do:`. `envcheck explain CODE` prints it, paragraph by paragraph
through the translations.
"""

from collections.abc import Callable, Iterator

from envcheck.diagnosis.case import Case
from envcheck.model.base import Plain
from envcheck.model.report import Confidence, Evidence, Finding, Fix, Severity
from envcheck.model.text import Text

Judge = Callable[[Case], Iterator[Finding]]


class Check(Plain, frozen=True):
    """One code. Calling it judges a case.

    `cause`: slug of the cause that it names, None for a symptom or a hint. `needs`: names of `Case` properties
    that must not be None; if one is, the check is unknown (the look died) or skipped (not looked at), never
    passed. `hears`: signatures (`Case.said`) of which one alone is enough to judge, whatever the needs say: then
    the judge must bear unknown facts. `explains`: code prefixes of the findings that this one causes when both
    show. `mutes`: code prefixes of checks that are not judged when this one failed, since their answer would be
    an echo.
    """

    code: str
    slug: str
    severity: Severity
    cause: str | None
    needs: tuple[str, ...]
    explains: tuple[str, ...]
    mutes: tuple[str, ...]
    page: str
    judge: Judge
    hears: tuple[str, ...] = ()

    def finding(
        self,
        title: Text,
        *,
        why: Text | None = None,
        evidence: tuple[Evidence, ...] = (),
        fixes: tuple[Fix, ...] = (),
        severity: Severity | None = None,
        cause: str | None = None,
        confidence: Confidence = "certain",
    ) -> Finding:
        """A finding of this code; `severity` and `cause` override the check's own."""
        return Finding(
            code=self.code,
            slug=self.slug,
            cause=cause or self.cause,
            severity=severity or self.severity,
            title=title,
            why=why,
            evidence=evidence,
            fixes=fixes,
            confidence=confidence,
        )


def check(
    code: str,
    slug: str,
    *,
    severity: Severity = "error",
    cause: str | None = None,
    needs: tuple[str, ...] = (),
    hears: tuple[str, ...] = (),
    explains: tuple[str, ...] = (),
    mutes: tuple[str, ...] = (),
) -> Callable[[Callable[[Check, Case], Iterator[Finding]]], Check]:
    """Make a `Check` of a generator function `(this, case) -> findings`; its docstring is the page."""

    def bind(function: Callable[[Check, Case], Iterator[Finding]]) -> Check:
        def judge(case: Case) -> Iterator[Finding]:
            return function(made, case)

        made = Check(code, slug, severity, cause, needs, explains, mutes, function.__doc__ or "", judge, hears)
        return made

    return bind
