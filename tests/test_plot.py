"""The picture of a run: bytes of a PNG or SVG, whole or not at all."""

import builtins
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.backprop import ask_of, gradients_of, measure
from helpers.cli import invoke

from envcheck.gradients.record import encode
from envcheck.model.errors import EnvcheckError
from envcheck.model.gradients import Gradients
from envcheck.render.plot import draw, format_of

OPS = ("linear", "gelu")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Gradients]:
    run = measure(ask_of(["linear"]), OPS, skip=["cpu/precision"])
    path = tmp_path_factory.mktemp("plot") / "run.json"
    path.write_bytes(encode(run))
    return path, gradients_of(run)


def test_a_png(recorded: tuple[Path, Gradients]) -> None:
    data = draw(recorded[1], "png")
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert width > 800
    assert height > 300


def test_an_svg_has_both_panels_and_is_the_same_each_time(recorded: tuple[Path, Gradients]) -> None:
    data = draw(recorded[1], "svg")
    assert data == draw(recorded[1], "svg")
    text = data.decode()
    assert text.startswith("<?xml")
    assert not re.search(r"<dc:date>", text)
    # Axis labels are drawn as paths, and named in comments.
    for word in ("epoch", "mean squared loss", "linear", "gelu", "float32", "bfloat16"):
        assert f"<!-- {word} -->" in text


def test_nothing_measured_is_a_picture_too() -> None:
    assert draw(Gradients(), "png").startswith(b"\x89PNG")


@pytest.mark.parametrize(("name", "form"), [("a.png", "png"), ("a.b.SVG", "svg")])
def test_the_ending_decides(name: str, form: str) -> None:
    assert format_of(name) == form


@pytest.mark.parametrize("name", ["a.gif", "png", "a.png.txt", ""])
def test_other_endings_are_refused(name: str) -> None:
    with pytest.raises(EnvcheckError, match=r"a plot is a \.png or \.svg file"):
        format_of(name)


def test_the_command_writes_a_whole_file(recorded: tuple[Path, Gradients], tmp_path: Path) -> None:
    target = tmp_path / "picture.svg"
    target.write_text("old")
    result = invoke("verify-backprop", "--from", recorded[0], "--plot", target, environ={})
    assert (result.code, result.err) == (0, "")
    assert target.read_text("utf-8").startswith("<?xml")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.svg"]


def test_without_matplotlib_it_says_how_to_get_it(
    recorded: tuple[Path, Gradients], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError("No module named 'matplotlib'")
        return true(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    target = tmp_path / "picture.png"
    target.write_text("old")
    result = invoke("verify-backprop", "--from", recorded[0], "--plot", target, environ={})
    assert result.code == 2
    assert "--plot needs matplotlib" in result.err
    assert "pip install 'torch-envcheck[plot]'" in result.err
    assert target.read_text() == "old"
