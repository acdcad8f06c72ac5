"""Whether back-propagation computed the right numbers: what was measured, held against what it must be.

Floating-point numbers stand as `float.hex` text, which keeps every bit, `nan` and `inf`.
"""

from typing import Literal

from envcheck.model.base import Value

Layer = Literal["lesson", "exact", "precision", "random", "load"]
LAYERS: tuple[Layer, ...] = ("lesson", "exact", "precision", "random", "load")
Outcome = Literal["ok", "wrong", "failed", "inexact", "unsupported", "unjudged"]


class Parting(Value, frozen=True, kw_only=True):
    """The first number that is not what it must be."""

    leg: str
    """`out`, or the leaf whose gradient it is; a step of the lesson."""
    run: str = ""
    """The pass in which it was seen: `first`, `second`, `again`, `expanded`, `strided`, `nan`, `frozen:w`, `large`."""
    index: tuple[int, ...] = ()
    expected: str
    got: str
    ulps: int | None = None
    """Representable numbers between the two; None where one of them is not a number."""
    wrong: int = 1
    """How many numbers of this leg parted."""
    size: int = 1
    """Of how many."""


class GradientCase(Value, frozen=True, kw_only=True):
    """One operation in one dtype on one device, or one step of the lesson.

    `wrong`: a number parted. `failed`: an exception. `inexact`: the integers come out when rounded (Winograd and FFT
    convolutions calculate with fractions). `unsupported`: this torch has no such operation for this dtype.
    `unjudged`: there is no reference that could be trusted. `dtype` is torch's name, or `tf32`: float32 numbers with
    TF32 switched on, as it was found.
    """

    layer: Layer
    op: str
    dtype: str
    outcome: Outcome
    parting: Parting | None = None
    error: str | None = None
    """The largest error of one number, in units of the roundoff times the condition of the computation."""
    error_leg: str | None = None
    limit: str | None = None
    slope: str | None = None
    """The largest systematic part of the error, in its standard deviations were it pure rounding."""
    slope_leg: str | None = None
    slope_limit: str | None = None
    text: str | None = None
    """What the exception said."""
    seed: int | None = None
    repeatable: bool | None = None
    """Whether the same numbers three times gave the same bits."""


class Precision(Value, frozen=True, kw_only=True):
    """What a product really calculates with, in bits after the leading one of an operand, and of a running sum.

    float32 has 23, TF32 10, bfloat16 7; None: not measured. `expected_*` is what the dtype and torch's switches
    announce; None: they announce nothing.
    """

    op: str
    dtype: str
    operand_bits: int | None = None
    operand_leg: str | None = None
    """The pass with the fewest bits: `left`, `right`, `upstream`, `weight`."""
    sum_bits: int | None = None
    expected_operand_bits: int | None = None
    expected_sum_bits: int | None = None
    subnormals: bool | None = None
    """Whether numbers below 2**-126 are kept (float32)."""
    switch: str | None = None
    """The switch that announces less than the dtype's own precision."""
    short: bool = False
    """Whether it calculates with fewer bits than announced."""


class TrueReference(Value, frozen=True, kw_only=True):
    """The float64 reference of one operation: its derivative along a direction, twice, and how far they are apart."""

    op: str
    analytic: str
    numeric: str
    error: str
    """Relative to the size of the loss and the derivative."""
    ok: bool


class LoadResult(Value, frozen=True, kw_only=True):
    """Work under load: rounds, and those whose numbers were wrong."""

    seconds: float
    rounds: int
    wrong: int


class GradientDevice(Value, frozen=True, kw_only=True):
    """One device, on its own. `verdict`: `unknown` when nothing was measured there to the end."""

    device: str
    """`cpu`, `cuda:0`, `xpu:0`, `mps`."""
    kind: str
    """`cpu`, `cuda`, `rocm`, `xpu`, `mps`."""
    name: str | None = None
    uuid: str | None = None
    compute_capability: str | None = None
    verdict: Literal["trusted", "untrusted", "unknown"]
    kernel_ms: float | None = None
    kernel_error: str | None = None
    cases: tuple[GradientCase, ...] = ()
    precision: tuple[Precision, ...] = ()
    load: LoadResult | None = None
    tf32_effect: str | None = None
    """How many times larger the worst float32 error is with the switches as found than in full float32."""
    died_in: tuple[str, ...] = ()
    """The cases during which the process died."""

    def of(self, layer: Layer) -> tuple[GradientCase, ...]:
        """The cases of one layer."""
        return tuple(case for case in self.cases if case.layer == layer)

    @property
    def parted(self) -> GradientCase | None:
        """The case that parted first, in the order of the layers."""
        bad = [case for case in self.cases if case.outcome in ("wrong", "failed")]
        return min(bad, key=lambda case: LAYERS.index(case.layer), default=None)


class Epoch(Value, frozen=True, kw_only=True):
    """One epoch of the lesson's loop: the mean loss and w at its end."""

    loss: str
    w: str


class Disagreement(Value, frozen=True, kw_only=True):
    """Devices of the same kind whose bits differ on the same numbers."""

    devices: tuple[str, ...]
    ops: tuple[str, ...]


class Gradients(Value, frozen=True, kw_only=True):
    """A whole run, judged."""

    torch: str | None = None
    threads: int | None = None
    cpu_capability: str | None = None
    seed: int = 0
    switches: dict[str, str] = {}
    """torch's switches as they were found, by their path below `torch`."""
    variables: dict[str, str] = {}
    devices: tuple[GradientDevice, ...] = ()
    references: tuple[TrueReference, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    """The lesson's loop in Python's float64."""
    failed_in: str | None = None
    """The step during which the worker died, and why."""
    failure: str | None = None

    @property
    def gpus(self) -> tuple[GradientDevice, ...]:
        """The devices that are not the CPU."""
        return tuple(device for device in self.devices if device.kind != "cpu")

    @property
    def untrusted(self) -> tuple[GradientDevice, ...]:
        """The devices whose gradients cannot be trusted."""
        return tuple(device for device in self.devices if device.verdict == "untrusted")

    @property
    def complete(self) -> bool:
        """Whether there is a verdict for every device."""
        return bool(self.devices) and all(device.verdict != "unknown" for device in self.devices)
