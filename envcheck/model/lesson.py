"""The lesson: back-propagation by hand, every number of it."""

from collections.abc import Sequence

from envcheck.model.base import Plain


class ChainRule(Plain, frozen=True):
    """One application of the chain rule at the point `s`: the values on the way, each link's derivative, the result."""

    point: float
    values: tuple[float, ...]
    links: tuple[float, ...]
    derivative: float


class NetPass(Plain, frozen=True):
    """Every number of one forward and one backward pass through a net of two layers, in their order."""

    x: Sequence[float]
    target: Sequence[float]
    z1: Sequence[float]
    hidden: Sequence[float]
    z2: Sequence[float]
    loss: float
    d_z2: Sequence[float]
    d_hidden: Sequence[float]
    d_z1: Sequence[float]
    gradients: dict[str, list[float]]
    """Of each parameter, of x and of the target; row-major."""


class LoopStep(Plain, frozen=True):
    """One step of the loop: the pair, its loss, its gradient 2*x*(w*x - y), and w after the update."""

    x: float
    y: float
    loss: float
    gradient: float
    w: float


class Loop(Plain, frozen=True):
    """The whole training of y = w * x: how it starts, the prediction before and after, and every step."""

    start: float
    rate: float
    predict: float
    before: float
    after: float
    steps: Sequence[LoopStep]
    pairs: int

    def epochs(self) -> list[tuple[float, float]]:
        """For each epoch the mean loss over its pairs, and w at its end."""
        groups = [self.steps[at : at + self.pairs] for at in range(0, len(self.steps), self.pairs)]
        return [(sum(step.loss for step in group) / self.pairs, group[-1].w) for group in groups]


class Lesson(Plain, frozen=True):
    """All of it: two chain rules, the net, the loop."""

    one_path: ChainRule
    two_paths: ChainRule
    net: NetPass
    loop: Loop
