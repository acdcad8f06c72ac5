"""The report as Markdown for an issue or a thread: commands in fences, the long part folded."""

import re
from collections.abc import Iterable, Iterator, Mapping

from envcheck import __version__
from envcheck.model.patterns import regex
from envcheck.model.report import Examination, Finding, Fix, Report
from envcheck.model.text import say
from envcheck.render import verdict
from envcheck.render.areas import Area, areas
from envcheck.render.clean import clean
from envcheck.render.layout import cut
from envcheck.render.phrases import MOST_LOOKS, command_lines, evidence_line, grouped, labelled
from envcheck.render.terminal import Marks, Terminal
from envcheck.render.voice import LONGEST, Voice, fill

_SPECIAL = regex(r"([\\`*_{}\[\]#|~])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}


def render(examination: Examination, voice: Voice, terminal: Terminal) -> str:
    """The whole text, with a line break at its end."""
    return "\n".join(_Post(voice, terminal.marks).lines(examination)) + "\n"


def escape(text: str) -> str:
    """Untrusted text as Markdown that shows it literally: no markup, no HTML, no mention."""
    return "".join(_HTML.get(char, char) for char in _SPECIAL.sub(r"\\\1", clean(text)))


def code_span(text: str) -> str:
    """Text between as many backticks as it needs."""
    text = clean(text)
    ticks = _ticks(text, 1)
    gap = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{gap}{text}{gap}{ticks}"


def _ticks(text: str, least: int) -> str:
    """More backticks than stand together in `text`, and at least so many."""
    return "`" * max([least, *(len(run) + 1 for run in re.findall("`+", text))])


class _MarkdownVoice(Voice):
    """Escapes values for Markdown; between backticks of the sentence nothing needs an escape but a backtick."""

    def fill(self, sentence: str, values: Mapping[str, str]) -> str:
        parts = sentence.split("`")
        guards = (escape, lambda value: clean(value).replace("`", "'"))
        return "`".join(fill(part, values, guards[number % 2]) for number, part in enumerate(parts))


class _Post:
    """One report in one language."""

    def __init__(self, voice: Voice, marks: Marks) -> None:
        self.voice = _MarkdownVoice(voice.language)
        self.marks = marks

    def lines(self, examination: Examination) -> Iterator[str]:
        """All lines of the text."""
        report = examination.report
        shell = "powershell" if examination.facts.host.os == "windows" else "sh"
        sentences = [verdict.headline(report), verdict.trains_on(report)]
        yield f"**envcheck {__version__}**: " + " ".join(map(self.voice, sentences))
        yield ""
        yield from self._table(areas(examination))
        if report.primary_finding is not None:
            yield from self._finding(report, report.primary_finding, shell)
        beside = verdict.others(report)
        if beside:
            yield ""
            yield from (f"- {self._mark(one.severity)} **{one.code}** {self.voice(one.title)}" for one in beside)
        if report.next_steps:
            yield ""
            yield f"**{self.voice(say('To be sure, run:'))}**"
            yield from self._fixes(report.next_steps, shell)
        yield ""
        yield from self._details(report)

    def _table(self, found: Iterable[Area]) -> Iterator[str]:
        voice = self.voice
        yield f"| | {voice(say('Area'))} | {voice(say('Seen'))} | {voice(say('Code'))} |"
        yield "|---|---|---|---|"
        for area in found:
            seen = "<br>".join(voice(say(", ")).join(map(voice, line)) for line in area.lines)
            yield f"| {self._mark(area.mark)} | {voice(area.name)} | {seen} | {' '.join(area.codes)} |"

    def _finding(self, report: Report, finding: Finding, shell: str) -> Iterator[str]:
        voice = self.voice
        yield ""
        yield f"### {finding.code}: {voice(finding.title)}"
        yield ""
        saw = voice(say("saw"))
        seen = (cut(evidence_line(evidence, voice), LONGEST, "...") for evidence in finding.evidence)
        yield from (f"- {saw}: {code_span(line)}" for line in seen)
        if finding.why:
            yield f"- {voice(say('why'))}: {voice(finding.why)}"
        for one in verdict.symptoms(report, finding):
            yield f"- {voice(say('explains'))}: **{one.code}** {voice(one.title)}"
        yield from self._fixes(finding.fixes, shell)

    def _fixes(self, fixes: Iterable[Fix], shell: str) -> Iterator[str]:
        for label, fix in labelled(fixes):
            yield ""
            yield f"**{self.voice(label)}**: {self.voice(fix.what)}"
            commands = command_lines(fix)
            if commands:
                fence = _ticks("\n".join(commands), 3)
                yield from ("", fence + shell, *commands, fence)

    def _details(self, report: Report) -> Iterator[str]:
        yield f"<details><summary>{self.voice(say('Checks and looks'))}</summary>"
        yield ""
        passed = [result.code for result in report.checks if result.status == "pass"]
        yield f"- {self.voice(say('passed'))}: {' '.join(passed)}"
        for status, why, codes in grouped(report.checks):
            said = self.voice(status) + (f" ({self.voice(why)})" if why else "")
            yield f"- {said}: {' '.join(codes)}"
        for seen in report.probes[:MOST_LOOKS]:
            parts = [seen.state, "" if seen.ms is None else f"{seen.ms:.0f} ms", seen.signal or "", seen.stage or ""]
            yield f"- {code_span(seen.look)} " + escape(" ".join(filter(None, parts)))
        yield ""
        yield "</details>"

    def _mark(self, mark: str) -> str:
        return str(getattr(self.marks, mark))
