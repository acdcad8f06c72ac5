"""A picture of a run: loss against epoch, and how far every result is from what it must be. Needs matplotlib."""

from collections.abc import Sequence
from io import BytesIO
from math import log2
from typing import Any

from envcheck.model.errors import EnvcheckError
from envcheck.model.gradients import GradientCase, Gradients
from envcheck.model.text import say

FORMATS = ("png", "svg")


def format_of(path: str) -> str:
    """`png` or `svg`, from the ending of the file's name; raises EnvcheckError for any other."""
    name, _, ending = path.rpartition(".")
    if not name or ending.lower() not in FORMATS:
        raise EnvcheckError(
            say("a plot is a .png or .svg file"), where=path, mend=say("give a name that ends in .png or .svg")
        )
    return ending.lower()


def draw(gradients: Gradients, form: str) -> bytes:
    """The picture as the bytes of a file; raises EnvcheckError without matplotlib."""
    figure_class, canvas_class = _matplotlib()
    columns = sorted({(device.device, case.dtype) for device in gradients.devices for case in device.of("random")})
    height = 4.8 if columns else 3.2
    figure = figure_class(figsize=(11, height), layout="constrained")
    canvas_class(figure)
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    _draw_loss(left, gradients)
    _draw_map(figure, right, gradients, columns)
    buffer = BytesIO()
    # Nothing of the day or the machine in the file: the same run gives the same bytes.
    figure.savefig(buffer, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    return buffer.getvalue()


def _matplotlib() -> tuple[Any, Any]:
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EnvcheckError(
            say("--plot needs matplotlib: {why}", why=error),
            mend=say("install it: {command}", command="pip install 'torch-envcheck[plot]'"),
        ) from error
    mpl.rcParams["svg.hashsalt"] = "envcheck"
    return Figure, FigureCanvasAgg


def _draw_loss(axes: Any, gradients: Gradients) -> None:
    losses = [float.fromhex(epoch.loss) for epoch in gradients.epochs]
    axes.semilogy(range(1, len(losses) + 1), losses, color="tab:blue")
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean squared loss")
    axes.set_title("y = w x, w from 3 to 2")
    axes.grid(visible=True, alpha=0.3)


def _draw_map(figure: Any, axes: Any, gradients: Gradients, columns: Sequence[tuple[str, str]]) -> None:
    """Operations against devices and dtypes: the error over its limit, as a power of two."""
    axes.set_title("error / limit, as a power of two")
    cases = [(device.device, case) for device in gradients.devices for case in device.of("random") if case.error]
    ops = list(dict.fromkeys(case.op for _, case in cases))
    if not ops:
        axes.text(0.5, 0.5, "nothing was measured", ha="center", va="center")
        axes.set_axis_off()
        return
    found = {(case.op, (device, case.dtype)): _share(case) for device, case in cases}
    table = [[found.get((op, column), float("nan")) for column in columns] for op in ops]
    image = axes.imshow(table, aspect="auto", cmap="RdYlGn_r", vmin=-8, vmax=2)
    axes.set_yticks(range(len(ops)), ops)
    axes.set_xticks(range(len(columns)), [f"{device}\n{dtype}" for device, dtype in columns])
    for row, values in enumerate(table):
        for column, value in enumerate(values):
            if value == value:  # noqa: PLR0124 - not NaN: measured
                axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=7)
    figure.colorbar(image, ax=axes)


def _share(case: GradientCase) -> float:
    share = float.fromhex(case.error or "nan") / float.fromhex(case.limit or "1")
    return log2(min(max(share, 2.0**-16), 2.0**16))
