"""The lesson, step by step: back-propagation by hand beside what torch computed."""

from collections.abc import Iterable, Iterator, Sequence

from envcheck.model.gradients import GradientCase, Gradients
from envcheck.model.lesson import ChainRule, Lesson, Loop, NetPass
from envcheck.model.text import Text, say
from envcheck.render.curve import curve
from envcheck.render.layout import wrap
from envcheck.render.terminal import Terminal
from envcheck.render.voice import Voice

_SHOWN_EPOCHS = (1, 2, 3, 5, 10, 20, 50, 100)
CHAIN, NET, LOOP = "chain rule", "two layers by hand", "y = w * x"
"""The steps of the lesson by the names of their cases."""


def render(lesson: Lesson, gradients: Gradients | None, voice: Voice, terminal: Terminal) -> str:
    """The whole lesson, with a line break at its end."""
    page = _Page(gradients, voice, terminal)
    parts = [
        page.part(say("1. The chain rule: one path"), _one_path(lesson.one_path), CHAIN),
        page.part(say("2. The chain rule: two paths that join"), _two_paths(lesson.two_paths), CHAIN),
        page.part(say("3. A net of two layers, by hand"), _net(lesson.net), NET),
        page.part(say("4. The loop: y = w * x"), _loop(lesson.loop), LOOP),
        page.drawing(lesson.loop),
    ]
    return "\n".join("\n".join(part) + "\n" for part in parts)


class _Page:
    """One language on one terminal."""

    def __init__(self, gradients: Gradients | None, voice: Voice, terminal: Terminal) -> None:
        self.gradients, self.voice, self.terminal = gradients, voice, terminal

    def part(self, title: Text, lines: Iterable[Text], step: str) -> Iterator[str]:
        """A heading, its lines, and what torch computed."""
        yield self.terminal.style(self.voice(title), bold=True)
        for line in lines:
            for number, piece in enumerate(wrap(self.voice(line), self.terminal.width - 4)):
                yield ("    " if number else "  ") + piece
        yield from self._torch(step)

    def _torch(self, step: str) -> Iterator[str]:
        if self.gradients is None or not self.gradients.devices:
            yield "  " + self.voice(say("torch was not asked"))
            return
        for device in self.gradients.devices:
            for case in device.of("lesson"):
                if case.op == step:
                    yield "  " + self._verdict(device.device, case)

    def _verdict(self, device: str, case: GradientCase) -> str:
        good = case.outcome == "ok"
        mark = self.terminal.marks.ok if good else self.terminal.marks.error
        text = say("torch on {device} in {dtype}: the same, bit for bit", device=device, dtype=case.dtype)
        if not good:
            found = case.parting
            text = say(
                "torch on {device} in {dtype}: {leg} is {got}, not {expected}",
                device=device,
                dtype=case.dtype,
                leg=found.leg if found else case.text or "?",
                got=found.got if found else "?",
                expected=found.expected if found else "?",
            )
        return self.terminal.style(mark, fg="green" if good else "red") + " " + self.voice(text)

    def drawing(self, loop: Loop) -> Iterator[str]:
        """Loss against epoch."""
        losses = [loss for loss, _ in loop.epochs()]
        yield self.voice(say("loss against epoch, logarithmic"))
        yield from ("  " + row for row in curve(losses, self.terminal, min(self.terminal.width - 4, 60)))
        first, last, count = f"{losses[0]:.3g}", f"{losses[-1]:.3g}", len(losses)
        yield "  " + self.voice(say("{first} in epoch 1, {last} in epoch {count}", first=first, last=last, count=count))


def number(value: float) -> str:
    """A number as short as it can be without losing a bit."""
    return str(int(value)) if value == int(value) else repr(value)


def _row(values: Sequence[float]) -> str:
    return "[" + ", ".join(number(value) for value in values) + "]"


def _one_path(rule: ChainRule) -> Iterator[Text]:
    s, (u, z), (dz_du, du_ds) = number(rule.point), rule.values, rule.links
    yield say("z = 2 u + 1 with u = s s, at s = {s}", s=s)
    yield say("forward: u = {u}, z = {z}", u=number(u), z=number(z))
    yield say("backward: dz/du = {outer}, du/ds = 2 s = {inner}", outer=number(dz_du), inner=number(du_ds))
    yield say("dz/ds = dz/du * du/ds = {derivative}", derivative=number(rule.derivative))


def _two_paths(rule: ChainRule) -> Iterator[Text]:
    x, y, z = rule.values
    dz_dx, dx_ds, dz_dy, dy_ds = rule.links
    yield say("z = x y with x = s s and y = 2 s, at s = {s}", s=number(rule.point))
    yield say("forward: x = {x}, y = {y}, z = {z}", x=number(x), y=number(y), z=number(z))
    yield say("through x: dz/dx * dx/ds = y * 2 s = {value}", value=number(dz_dx * dx_ds))
    yield say("through y: dz/dy * dy/ds = x * 2 = {value}", value=number(dz_dy * dy_ds))
    yield say("where they join, they add up: dz/ds = {derivative}", derivative=number(rule.derivative))


def _net(net: NetPass) -> Iterator[Text]:
    yield say(
        "z = W a + b in each layer; dz/dW is the layer's input a. x = {x}, target = {t}",
        x=_row(net.x),
        t=_row(net.target),
    )
    yield say("forward: z1 = W1 x + b1 = {z1}, a1 = relu(z1) = {a1}", z1=_row(net.z1), a1=_row(net.hidden))
    yield say("forward: z2 = W2 a1 + b2 = {z2}, C = (z2 - target)^2 = {loss}", z2=_row(net.z2), loss=number(net.loss))
    yield say("backward: dC/dz2 = 2 (z2 - target) = {d}", d=_row(net.d_z2))
    yield say(
        "dC/dW2 = dC/dz2 * a1 = {w}, dC/db2 = dC/dz2 = {b}", w=_row(net.gradients["w2"]), b=_row(net.gradients["b2"])
    )
    yield say("one layer back: dC/da1 = W2^T dC/dz2 = {d}", d=_row(net.d_hidden))
    yield say("dC/dz1 = dC/da1 where z1 > 0, else 0: {d}", d=_row(net.d_z1))
    yield say(
        "dC/dW1 = dC/dz1 * x = {w}, dC/db1 = dC/dz1 = {b}", w=_row(net.gradients["w1"]), b=_row(net.gradients["b1"])
    )


def _loop(loop: Loop) -> Iterator[Text]:
    pairs = ", ".join(f"({number(step.x)}, {number(step.y)})" for step in loop.steps[: loop.pairs])
    yield say(
        "w = {w} to begin with, pairs (x, y) = {pairs}, learning rate {rate}, squared loss (w x - y)^2",
        w=number(loop.start),
        pairs=pairs,
        rate=number(loop.rate),
    )
    yield say("prediction for {x} before: {value}", x=number(loop.predict), value=number(loop.before))
    for step in loop.steps[: loop.pairs]:
        yield say(
            "x = {x}, y = {y}: gradient 2 x (w x - y) = {gradient}, then w = {w}",
            x=number(step.x),
            y=number(step.y),
            gradient=number(step.gradient),
            w=number(step.w),
        )
    epochs = loop.epochs()
    for place in _SHOWN_EPOCHS:
        if place <= len(epochs):
            loss, w = epochs[place - 1]
            yield say("epoch {epoch}: w = {w}, mean loss {loss}", epoch=place, w=number(w), loss=f"{loss:.3g}")
    yield say("prediction for {x} after: {value}", x=number(loop.predict), value=number(loop.after))
