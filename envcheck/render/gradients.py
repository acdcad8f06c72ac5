"""The result of verify-backprop as one screen: a verdict per device, the worst of each layer, what parted first."""

from collections.abc import Iterable, Iterator

from envcheck.model.gradients import GradientCase, GradientDevice, Gradients, Layer, Precision
from envcheck.model.partings import in_words, parted_text, run_text, short
from envcheck.model.report import Examination
from envcheck.model.text import Text, say
from envcheck.render.clean import clean
from envcheck.render.console import Screen
from envcheck.render.curve import curve
from envcheck.render.layout import cells, pad, wrap
from envcheck.render.terminal import Terminal
from envcheck.render.voice import Voice

_VERDICTS = {
    "trusted": ("ok", say("gradients can be trusted")),
    "untrusted": ("error", say("gradients cannot be trusted")),
    "unknown": ("unknown", say("not tested to the end")),
}
_LAYERS: dict[Layer, Text] = {
    "lesson": say("lesson"),
    "exact": say("exact"),
    "precision": say("precision"),
    "random": say("random"),
    "load": say("load"),
}


def render(examination: Examination, voice: Voice, terminal: Terminal, *, verbose: bool = False) -> str:
    """The whole screen, with a line break at its end."""
    return "\n".join(GradientScreen(voice, terminal, verbose).lines(examination)) + "\n"


class GradientScreen(Screen):
    """One run in one language for one terminal."""

    def lines(self, examination: Examination) -> Iterator[str]:
        """Blocks with an empty line between them."""
        gradients = examination.facts.gradients
        blocks: list[Iterable[str]] = [self._header(examination.facts)]
        if gradients is not None:
            blocks += [self._device(device) for device in gradients.devices]
            blocks.append(self._surroundings(gradients))
            blocks.append(self._curve(gradients))
        blocks += [*self._blocks_of_findings(examination.report), self._ending(examination)]
        filled = [lines for block in blocks if (lines := list(block))]
        for number, block in enumerate(filled):
            yield from ([""] if number else []) + block

    def _device(self, device: GradientDevice) -> Iterator[str]:
        mark, verdict = _VERDICTS[device.verdict]
        about = [device.device, clean(device.name or "")] if device.kind != "cpu" else [device.device]
        head = f" {self._mark(mark)}  {'  '.join(word for word in about if word)}  "
        yield head + self._paint(self.voice(verdict), mark)
        width = max(cells(self.voice(name)) for name in _LAYERS.values())
        for layer, name in _LAYERS.items():
            room = self.width - self.mark_width - width - 6
            pieces = [piece for text in _summary(device, layer) for piece in wrap(self.voice(text), room)]
            for line, piece in enumerate(pieces):
                label = pad("" if line else self.voice(name), width)
                yield " " * (self.mark_width + 4) + label + "  " + piece
        parted = device.parted
        if parted is not None:
            yield from self._parted(parted)
        if self.verbose:
            for case in device.cases:
                yield from self._case(case)

    def _parted(self, case: GradientCase) -> Iterator[str]:
        indent = " " * (self.mark_width + 4)
        found = case.parting
        for text in (parted_text(case), *((run_text(found), in_words(found)) if found else ())):
            if text is not None:
                for line in wrap(self.voice(text), self.width - len(indent)):
                    yield indent + self._paint(line, "error")

    def _case(self, case: GradientCase) -> Iterator[str]:
        words = [f"{case.layer:9} {clean(case.op):26} {case.dtype:9} {case.outcome:11}"]
        if case.error:
            words.append(f"{float.fromhex(case.error):9.3g} {float.fromhex(case.slope or '0x0p+0'):9.3g}")
        yield (" " * (self.mark_width + 4) + " ".join(words)).rstrip()

    def _surroundings(self, gradients: Gradients) -> Iterator[str]:
        words = [f"torch {clean(gradients.torch or '?')}"]
        words += [self.voice(say("{count} threads", count=gradients.threads))] if gradients.threads else []
        words += [clean(gradients.cpu_capability)] if gradients.cpu_capability else []
        words += [f"{clean(name)}={clean(value)}" for name, value in gradients.variables.items()]
        yield from wrap(self.voice(say(", ")).join(words), self.width)

    def _curve(self, gradients: Gradients) -> Iterator[str]:
        """The loss of the lesson, where somebody is looking."""
        if self.terminal.tty and gradients.epochs:
            losses = [float.fromhex(epoch.loss) for epoch in gradients.epochs]
            rows = curve(losses, self.terminal, min(self.width - 4, 48), rows=3)
            yield from ("    " + row for row in rows)
            yield "    " + self.voice(say("loss of y = w * x over {count} epochs", count=len(losses)))

    def _ending(self, examination: Examination) -> Iterator[str]:
        gradients = examination.facts.gradients
        mark = {"healthy": "ok", "problem": "error", "unknown": "unknown"}[examination.report.verdict]
        for line in wrap(self.voice(headline(examination)), self.width):
            yield self.terminal.style(self._paint(line, mark), bold=True)
        if gradients is not None and gradients.devices and not gradients.gpus:
            yield self.voice(say("No GPU was tested."))


def headline(examination: Examination) -> Text:
    """The whole run in one sentence."""
    gradients = examination.facts.gradients
    if gradients is None or not gradients.devices:
        return _nothing_measured(examination)
    names = {
        verdict: ", ".join(device.device for device in gradients.devices if device.verdict == verdict)
        for verdict in ("trusted", "untrusted", "unknown")
    }
    if names["untrusted"]:
        return say("Gradients cannot be trusted on: {devices}.", devices=names["untrusted"])
    if names["unknown"]:
        return say(
            "Could not tell for {devices}: {why}",
            devices=names["unknown"],
            why=f"{gradients.failed_in or ''} {gradients.failure or ''}".strip() or "?",
        )
    return say("Gradients can be trusted on: {devices}.", devices=names["trusted"])


def _nothing_measured(examination: Examination) -> Text:
    look = examination.facts.observation("backprop")
    if look is None:
        return say("Back-propagation was not looked at.")
    why = " ".join(word for word in (look.signal, look.detail or look.state) if word)
    if look.stage == "import":
        return say("Could not tell: torch cannot be imported: {why}", why=why)
    return say("Could not tell: {stage}: {why}", stage=look.stage or "backprop", why=why)


def _summary(device: GradientDevice, layer: Layer) -> Iterator[Text]:
    cases = device.of(layer)
    if layer == "load":
        yield from _load(device)
    elif layer == "precision":
        yield from _precision(device.precision)
    elif cases:
        counted = [case for case in cases if case.outcome not in ("unsupported", "unjudged")]
        good = sum(case.outcome in ("ok", "inexact") for case in counted)
        if layer == "random":
            yield say("{good} of {all} within rounding", good=good, all=len(counted))
            yield from _worst(counted)
        else:
            yield say("{good} of {all} right, bit for bit", good=good, all=len(counted))
        left_out = len(cases) - len(counted)
        if left_out:
            yield say("{count} not offered by this torch", count=left_out)


def _worst(cases: Iterable[GradientCase]) -> Iterator[Text]:
    """The case nearest to its limit, by its worst number and by its systematic part."""
    measured = [case for case in cases if case.error and case.limit]
    if measured:
        worst = max(measured, key=lambda case: float.fromhex(case.error or "0") / float.fromhex(case.limit or "1"))
        yield say(
            "worst: {op} {dtype}, {leg}: {error} of {limit} roundings",
            op=worst.op,
            dtype=worst.dtype,
            leg=worst.error_leg or "?",
            error=short(worst.error),
            limit=short(worst.limit),
        )


def _precision(found: Iterable[Precision]) -> Iterator[Text]:
    rows: dict[str, list[str]] = {}
    for one in found:
        if one.operand_bits is not None:
            rows.setdefault(one.op, []).append(f"{one.dtype} {one.operand_bits}/{one.sum_bits}")
    if rows:
        listed = "; ".join(f"{op}: {', '.join(words)}" for op, words in rows.items())
        yield say("bits of operands/sums: {listed}", listed=listed)


def _load(device: GradientDevice) -> Iterator[Text]:
    load = device.load
    if load is not None:
        good = load.rounds - load.wrong
        yield say(
            "{good} of {all} rounds right in {seconds} s", good=good, all=load.rounds, seconds=f"{load.seconds:.3g}"
        )
