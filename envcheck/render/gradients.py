"""The result of verify-backprop as one screen: a verdict per device, the worst of each layer, what parted first."""

from collections.abc import Iterable, Iterator
from math import inf, isfinite

from envcheck.model.gradients import GradientCase, GradientDevice, Gradients, Layer, Parting, Precision
from envcheck.model.report import Examination
from envcheck.model.text import Text, say
from envcheck.render.clean import clean
from envcheck.render.console import _Screen
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


class GradientScreen(_Screen):
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
        for text in (_first(case), in_words(case.parting) if case.parting else None):
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
            error=_short(worst.error),
            limit=_short(worst.limit),
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


def _first(case: GradientCase) -> Text:
    """What parted first: operation, dtype, leg and place."""
    found = case.parting
    if found is None:
        return say("first: {op} in {dtype}: {text}", op=case.op, dtype=case.dtype, text=case.text or case.outcome)
    place = found.leg + (str(list(found.index)) if found.index else "")
    return say(
        "first: {op} in {dtype}, {place}{run}: {got}, not {expected}",
        op=case.op,
        dtype=case.dtype,
        place=place,
        run=f" ({found.run})" if found.run else "",
        got=_decimal(found.got),
        expected=_decimal(found.expected),
    )


def in_words(found: Parting) -> Text:
    """How far it is, in units in the last place and in words."""
    expected, got = _number(found.expected), _number(found.got)
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


def _number(text: str) -> float | None:
    try:
        return float.fromhex(text)
    except ValueError:
        return None


def _decimal(text: str) -> str:
    number = _number(text)
    return text if number is None else f"{number:.9g}"


def _short(text: str | None) -> str:
    number = _number(text or "")
    return "?" if number is None else f"{number:.3g}"
