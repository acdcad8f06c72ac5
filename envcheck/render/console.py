"""The report as one screen of text.

Text wraps to the terminal's width. Commands stand on lines of their own and are never wrapped or cut, so that
they can be pasted.
"""

from collections.abc import Iterable, Iterator, Sequence

from envcheck import __version__
from envcheck.model.facts import Facts
from envcheck.model.report import Examination, Finding, Fix, Report
from envcheck.model.text import Text, say
from envcheck.render import verdict
from envcheck.render.areas import Area, areas
from envcheck.render.clean import clean
from envcheck.render.gpus import Line
from envcheck.render.layout import cells, cut, fill, pad, wrap
from envcheck.render.phrases import MOST_LOOKS, chosen_by, command_lines, evidence_line, grouped, labelled
from envcheck.render.terminal import Terminal
from envcheck.render.voice import Voice

READABLE = 100
"""Text is not set wider than this, however wide the terminal is."""
_LONGEST = 240
_COLOURS = {"error": "red", "warning": "yellow", "ok": "green", "info": "cyan", "unknown": "magenta"}
_VERDICTS = {"healthy": "ok", "problem": "error", "unknown": "unknown"}
_SAW, _WHY, _EXPLAINS, _MORE = say("saw"), say("why"), say("explains"), say("more")
_LABELS = (_SAW, _WHY, _EXPLAINS, _MORE, say("fix"), say("then"), say("or"))


def render(examination: Examination, voice: Voice, terminal: Terminal, *, verbose: bool = False) -> str:
    """The whole screen, with a line break at its end."""
    return "\n".join(Screen(voice, terminal, verbose).lines(examination)) + "\n"


class Screen:
    """One report in one language for one terminal."""

    def __init__(self, voice: Voice, terminal: Terminal, verbose: bool) -> None:
        self.voice = voice
        self.terminal = terminal
        self.verbose = verbose
        self.width = min(terminal.width, READABLE)
        self.label_width = max(cells(voice(label)) for label in _LABELS)
        self._comma = voice(say(", "))
        self.mark_width = max(map(cells, terminal.marks[:-1]))

    def lines(self, examination: Examination) -> Iterator[str]:
        """All lines of the screen: blocks with an empty line between them."""
        report = examination.report
        blocks = [
            self._header(examination.facts),
            self._overview(areas(examination)),
            *self._blocks_of_findings(report),
            self._next_steps(report.next_steps),
            *(self._details(report) if self.verbose else ()),
            self._conclusion(report),
        ]
        filled = [lines for block in blocks if (lines := list(block))]
        for number, block in enumerate(filled):
            yield from ([""] if number else []) + block

    # Header and overview -----------------------------------------------------------------------------------------

    def _header(self, facts: Facts) -> Iterator[str]:
        name = f"envcheck {__version__}"
        target = self.voice(_target(facts))
        bold = self.terminal.style(name, bold=True)
        if len(name) + 3 + cells(target) <= self.width:
            yield f"{bold}   {target}"
            return
        yield bold
        yield from wrap(target, self.width)

    def _overview(self, found: Iterable[Area]) -> Iterator[str]:
        named = [(self.voice(area.name), area) for area in found]
        name_width = max((cells(name) for name, _ in named), default=0)
        for name, area in named:
            yield from self._area(pad(name, name_width), area)

    def _area(self, name: str, area: Area) -> Iterator[str]:
        room = self.width - self.mark_width - cells(name) - 5
        codes = " ".join(area.codes)
        beside = len(codes) + 2 if codes else 0
        texts = list(area.lines) or [()]
        if codes and cells(self._joined(texts[0])) <= room - beside:
            beside = 0
        lines = [piece for text in texts for piece in fill(self._parts(text), self._comma, room - beside)]
        if codes:
            lines[0] = pad(lines[0], room - len(codes)) + self._paint(codes, area.mark)
        head = f" {self._mark(area.mark)}  {name}  "
        return _hung(head, self.width - room, lines)

    def _joined(self, line: Line) -> str:
        return self._comma.join(self._parts(line))

    def _parts(self, line: Line) -> list[str]:
        return [cut(self.voice(part), _LONGEST, self.terminal.marks.ellipsis) for part in line]

    # Findings ----------------------------------------------------------------------------------------------------

    def _blocks_of_findings(self, report: Report) -> Iterator[Iterable[str]]:
        primary = report.primary_finding
        if primary is not None:
            yield self._finding(primary, verdict.symptoms(report, primary))
        beside = verdict.others(report)
        if self.verbose:
            yield from (self._finding(one, verdict.symptoms(report, one)) for one in beside)
        else:
            yield [line for one in beside for line in self._one_line(one, verdict.symptoms(report, one))]

    def _finding(self, finding: Finding, explained: list[Finding]) -> Iterator[str]:
        title = [self.terminal.style(line, bold=True) for line in wrap(self.voice(finding.title), self.width - 7)]
        yield from _hung(self._paint(finding.code, finding.severity) + "  ", 7, title)
        for evidence in finding.evidence:
            yield from self._labelled(_SAW, evidence_line(evidence, self.voice))
        if finding.why:
            yield from self._labelled(_WHY, self.voice(finding.why))
        for one in explained:
            yield from self._labelled(_EXPLAINS, f"{one.code}  {self.voice(one.title)}")
        for label, fix in labelled(finding.fixes):
            yield from self._fix(label, fix)
        yield from self._labelled(_MORE, f"envcheck explain {finding.code}")

    def _one_line(self, finding: Finding, explained: list[Finding]) -> Iterator[str]:
        text = self.voice(finding.title)
        if explained:
            codes = ", ".join(one.code for one in explained)
            text += self.voice(say(" (explains {codes})", codes=codes))
        head = f" {self._mark(finding.severity)}  {self._paint(finding.code, finding.severity)}  "
        indent = self.mark_width + 10
        yield from _hung(head, indent, wrap(text, self.width - indent))

    def _fix(self, label: Text, fix: Fix) -> Iterator[str]:
        yield from self._labelled(label, self.voice(fix.what))
        yield from self._commands(fix, self.label_width + 6)

    def _commands(self, fix: Fix, indent: int) -> Iterator[str]:
        for command in command_lines(fix):
            yield " " * indent + self.terminal.style(command, fg="cyan")

    def _labelled(self, label: Text, text: str) -> Iterator[str]:
        head = f"  {self.terminal.style(pad(self.voice(label), self.label_width), dim=True)}  "
        indent = self.label_width + 4
        text = cut(text, _LONGEST, self.terminal.marks.ellipsis)
        return _hung(head, indent, wrap(text, self.width - indent))

    def _next_steps(self, steps: Iterable[Fix]) -> Iterator[str]:
        for number, fix in enumerate(steps):
            if not number:
                yield self.voice(say("To be sure, run:"))
            for line in wrap(self.voice(fix.what), self.width - 2):
                yield "  " + line
            yield from self._commands(fix, 4)

    # Details and conclusion --------------------------------------------------------------------------------------

    def _details(self, report: Report) -> Iterator[Iterable[str]]:
        yield [
            self.voice(say("Checks: {pass} passed", **{"pass": sum(one.status == "pass" for one in report.checks)})),
            *(line for group in grouped(report.checks) for line in self._checks(*group)),
        ]
        rows = [
            (seen.look, seen.state, "" if seen.ms is None else f"{seen.ms:.0f} ms")
            for seen in report.probes[:MOST_LOOKS]
        ]
        yield [self.voice(say("Looks:")), *(f"  {clean(look):14} {state:8} {ms:>8}" for look, state, ms in rows)]

    def _checks(self, status: Text, why: Text | None, codes: Sequence[str]) -> Iterator[str]:
        said = self.voice(status) + (f" ({self.voice(why)})" if why else "")
        return _hung("  ", 4, wrap(f"{said}: {' '.join(codes)}", self.width - 4))

    def _conclusion(self, report: Report) -> Iterator[str]:
        for line in wrap(self.voice(verdict.headline(report)), self.width):
            yield self.terminal.style(self._paint(line, _VERDICTS[report.verdict]), bold=True)
        yield from wrap(self.voice(verdict.trains_on(report)), self.width)
        if report.findings:
            yield from wrap(self._joined(verdict.tally(report)), self.width)
        if not self.verbose and any(one.fixes for one in verdict.others(report)):
            yield from wrap(self.voice(say("With -v the steps for the others are shown, too.")), self.width)

    # Ink ---------------------------------------------------------------------------------------------------------

    def _mark(self, mark: str) -> str:
        return self._paint(pad(getattr(self.terminal.marks, mark), self.mark_width), mark)

    def _paint(self, text: str, mark: str) -> str:
        colour = _COLOURS.get(mark)
        return self.terminal.style(text, fg=colour) if colour else text


def _hung(head: str, indent: int, lines: Iterable[str]) -> Iterator[str]:
    """`lines` with `head` before the first and `indent` spaces before the others."""
    for number, line in enumerate(lines):
        yield ((" " * indent if number else head) + line).rstrip()


def _target(facts: Facts) -> Text:
    python = facts.python
    if facts.source == "text":
        return say("read from text that was pasted")
    if python.path is None:
        return say("no Python was examined")
    if python.chosen_by == "self":
        return say("target: {path} ({version}, which runs envcheck)", path=python.path, version=python.version or "?")
    return say(
        "target: {path} ({version}, {how})",
        path=python.path,
        version=python.version or "?",
        how=chosen_by(python.chosen_by),
    )
