"""`envcheck verify-backprop` end to end: this machine, GPUs in disguise, broken torches, bad input, recorded runs."""

import json
import os
import sys
import zlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from helpers.cli import Result, invoke
from helpers.standin import stand_in

from envcheck.render.schema import SCHEMA_FILE

VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text("utf-8")))
HERE = ("verify-backprop", "--python", sys.executable)


def document(result: Result) -> dict[str, Any]:
    """The JSON report, validated."""
    made: dict[str, Any] = json.loads(result.out)
    VALIDATOR.validate(made)
    return made


def codes(made: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in made["report"]["findings"]}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run on this machine: the file that --save wrote, and the report."""
    saved = tmp_path_factory.mktemp("run") / "run.json"
    environ = {"PATH": os.defpath, "HOME": str(saved.parent)}
    result = invoke(*HERE, "--device", "cpu", "--format", "json", "--save", saved, environ=environ)
    assert result.err == ""
    assert result.code == 0
    return saved, document(result)


# This machine


def test_gradients_of_this_cpu_can_be_trusted(recorded: tuple[Path, dict[str, Any]]) -> None:
    _, made = recorded
    gradients = made["facts"]["gradients"]
    assert made["report"]["verdict"] == "healthy"
    assert codes(made) == {"EC514"}
    (device,) = gradients["devices"]
    assert (device["device"], device["verdict"]) == ("cpu", "trusted")
    layers = {case["layer"] for case in device["cases"]}
    assert layers == {"lesson", "exact", "random"}
    assert {case["outcome"] for case in device["cases"]} == {"ok"}
    assert len({case["op"] for case in device["cases"] if case["layer"] == "exact"}) >= 40
    assert device["load"]["rounds"] > 0
    assert device["load"]["wrong"] == 0
    assert made["facts"]["torch"]["version"].startswith("2.13")


def test_numbers_are_hexadecimal_and_lose_no_bit(recorded: tuple[Path, dict[str, Any]]) -> None:
    gradients = recorded[1]["facts"]["gradients"]
    assert len(gradients["epochs"]) == 100
    w = [float.fromhex(epoch["w"]) for epoch in gradients["epochs"]]
    assert w[0] == 2.739312
    assert w[-1] == pytest.approx(2)
    for case in gradients["devices"][0]["cases"]:
        if case["layer"] == "random":
            assert 0 < float.fromhex(case["error"]) < float.fromhex(case["limit"])
            assert float.fromhex(case["slope"]) < float.fromhex(case["slope_limit"])


def test_a_recorded_run_is_judged_to_the_same_report(recorded: tuple[Path, dict[str, Any]]) -> None:
    saved, made = recorded
    again = invoke("verify-backprop", "--from", saved, "--format", "json", environ={})
    assert again.code == 0
    other = document(again)
    assert other["facts"]["gradients"] == made["facts"]["gradients"]
    assert {**other["report"], "probes": []} == {**made["report"], "probes": []}
    piped = invoke("verify-backprop", "--from", "-", "--format", "json", stdin=saved.read_bytes(), environ={})
    assert document(piped) == other


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_one_screen_says_it_all(recorded: tuple[Path, dict[str, Any]], language: str, columns: str) -> None:
    screen = invoke("verify-backprop", "--from", recorded[0], "--lang", language, environ={"COLUMNS": columns})
    assert screen.code == 0
    lines = screen.out.splitlines()
    assert len(lines) <= 24
    assert ("No GPU was tested" in screen.out) == (language == "en")
    assert ("梯度" in screen.out) == (language == "zh")
    assert any(f"{count} " in screen.out for count in (316, "316"))


def test_every_case_is_shown_when_asked(recorded: tuple[Path, dict[str, Any]]) -> None:
    screen = invoke("verify-backprop", "--from", recorded[0], "-v", environ={})
    assert sum(" exact " in line and line.endswith(" ok") for line in screen.out.splitlines()) == 316


def test_the_lesson_stands_before_the_verdict_and_a_terminal_gets_a_curve(
    recorded: tuple[Path, dict[str, Any]],
) -> None:
    saved = recorded[0]
    lesson = invoke("verify-backprop", "--from", saved, "--lesson", environ={}).out
    assert lesson.index("1. The chain rule") < lesson.index("bit for bit") < lesson.index("Gradients can be trusted")
    shown = invoke("verify-backprop", "--from", saved, environ={"TERM": "xterm", "NO_COLOR": "1"}, tty=True).out
    assert "█" in shown
    plain = invoke("verify-backprop", "--from", saved, environ={}, encoding="ascii", tty=True).out
    assert plain.isascii()


@pytest.mark.parametrize("encoding", ["gbk", "cp1252", "ascii"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_any_encoding_will_do(recorded: tuple[Path, dict[str, Any]], encoding: str, language: str) -> None:
    shown = invoke(
        "verify-backprop", "--from", recorded[0], "--lesson", "--lang", language, environ={}, encoding=encoding
    )
    assert shown.code == 0
    assert "\\u" not in shown.out


def test_other_seeds_and_more_rounds(tmp_path: Path) -> None:
    environ = {"PATH": os.defpath, "HOME": str(tmp_path)}
    options = ("--device", "cpu", "--seed", "41", "--thorough", "--seconds", "0.1", "--format", "json")
    made = document(invoke(*HERE, *options, environ=environ))
    gradients = made["facts"]["gradients"]
    assert gradients["seed"] == 41
    cases = gradients["devices"][0]["cases"]
    assert {case["seed"] for case in cases if case["layer"] == "random"} == set(range(41, 49))
    assert {case["outcome"] for case in cases} == {"ok"}
    assert gradients["devices"][0]["load"]["seconds"] >= 0.1


def test_the_doctor_looks_deeper_when_asked(bare_python: str, tmp_path: Path) -> None:
    environ = {"PATH": os.defpath, "HOME": str(tmp_path)}
    deep = invoke("doctor", "--deep", "--python", sys.executable, "--format", "json", environ=environ)
    made = document(deep)
    assert made["facts"]["gradients"]["devices"][0]["verdict"] == "trusted"
    assert made["facts"]["host"]["os"] is not None
    assert {check["status"] for check in made["report"]["checks"] if check["code"] == "EC502"} == {"pass"}
    without = document(invoke("doctor", "--deep", "--python", bare_python, "--format", "json", environ=environ))
    assert without["facts"]["gradients"] is None
    assert [probe["state"] for probe in without["report"]["probes"] if probe["look"] == "backprop"] == ["skipped"]
    assert invoke("doctor", "--deep", "--no-torch", environ=environ).code == 2
    assert invoke("doctor", "--deep", "--from", "x.json", environ=environ).code == 2


# GPUs


def examined(tmp_path: Path, **gpus: Any) -> tuple[int, dict[str, Any]]:
    """verify-backprop where torch sees GPUs that are the CPU in disguise."""
    environ = stand_in(tmp_path / "site", {"PATH": os.defpath, "HOME": str(tmp_path)}, **gpus)
    result = invoke(*HERE, "--seconds", "0.05", "--format", "json", environ=environ)
    assert result.err == ""
    return result.code, document(result)


def test_faithful_gpus_are_trusted_each_on_its_own(tmp_path: Path) -> None:
    code, made = examined(tmp_path, count=2)
    assert code == 0
    devices = made["facts"]["gradients"]["devices"]
    assert [(one["device"], one["kind"], one["verdict"]) for one in devices] == [
        ("cpu", "cpu", "trusted"),
        ("cuda:0", "cuda", "trusted"),
        ("cuda:1", "cuda", "trusted"),
    ]
    assert made["report"]["can_train"] == ["cpu", "cuda:0", "cuda:1"]
    assert devices[1]["name"] == "Stand-in GPU"
    assert devices[1]["compute_capability"] == "9.0"
    assert devices[1]["load"]["rounds"] > 0
    # cuDNN's convolutions may use TF32 by default: told, measured, and no fault.
    assert codes(made) == {"EC512"}
    assert float.fromhex(devices[1]["tf32_effect"]) > 0
    assert {case["dtype"] for case in devices[1]["cases"]} == {"float64", "float32", "bfloat16", "float16", "tf32"}


def test_one_faulty_gpu_among_two_is_named(tmp_path: Path) -> None:
    code, made = examined(tmp_path, count=2, fault="cuda:1 mm")
    assert code == 1
    devices = {one["device"]: one for one in made["facts"]["gradients"]["devices"]}
    assert {name: one["verdict"] for name, one in devices.items()} == {
        "cpu": "trusted",
        "cuda:0": "trusted",
        "cuda:1": "untrusted",
    }
    assert made["report"]["can_train"] == ["cpu", "cuda:0"]
    assert made["report"]["primary"]["code"] == "EC502"
    assert "cuda:1" in made["report"]["primary"]["title"]
    wrong = [case for case in devices["cuda:1"]["cases"] if case["outcome"] == "wrong"]
    assert wrong[0]["layer"] == "exact"
    assert wrong[0]["parting"]["index"] == [0, 0]
    assert devices["cuda:1"]["load"]["wrong"] == devices["cuda:1"]["load"]["rounds"] > 0
    # GPUs of one model are held against each other.
    assert made["facts"]["gradients"]["disagreements"][0]["devices"] == ["cuda:0", "cuda:1"]


def test_out_of_memory_in_some_cases_leaves_the_others(tmp_path: Path) -> None:
    code, made = examined(tmp_path, fault="cuda:0 convolution_backward", STANDIN_RAISES="1")
    assert code == 1
    assert made["report"]["primary"]["code"] == "EC507"
    gpu = made["facts"]["gradients"]["devices"][1]
    failed = {case["op"] for case in gpu["cases"] if case["outcome"] == "failed"}
    assert {"conv1d", "conv2d", "conv3d"} <= failed
    assert all("conv" in op for op in failed)
    assert "OutOfMemoryError" in next(case["text"] for case in gpu["cases"] if case["outcome"] == "failed")
    fine = {case["op"] for case in gpu["cases"] if case["outcome"] == "ok"}
    assert {"linear", "matmul", "embedding", "attention", "lstm", "y = w * x"} <= fine


def test_only_the_devices_that_were_asked_for(tmp_path: Path) -> None:
    environ = stand_in(tmp_path / "site", {"PATH": os.defpath, "HOME": str(tmp_path)}, count=2)
    result = invoke(*HERE, "--device", "cuda:1", "--seconds", "0", "--format", "json", environ=environ)
    assert [one["device"] for one in document(result)["facts"]["gradients"]["devices"]] == ["cuda:1"]


def test_a_device_that_is_not_there_is_not_trusted(tmp_path: Path) -> None:
    result = invoke(*HERE, "--device", "cuda", environ={"PATH": os.defpath, "HOME": str(tmp_path)})
    assert result.code == 3
    assert "torch offers no device cuda here (--device)" in result.err


# Torches that are broken

NOTHING = "{pass}"


def broken(tmp_path: Path, source: str, *options: str, code: int = 3) -> tuple[Result, dict[str, Any]]:
    """verify-backprop with a module named torch that holds `source`."""
    site = tmp_path / "broken"
    (site / "torch").mkdir(parents=True)
    (site / "torch" / "__init__.py").write_text(source, encoding="utf-8")
    environ = {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(site)}
    result = invoke(*HERE, "--format", "json", *options, environ=environ)
    assert result.code == code, result
    return result, document(result)


def test_without_torch(bare_python: str, tmp_path: Path) -> None:
    environ = {"PATH": os.defpath, "HOME": str(tmp_path)}
    result = invoke("verify-backprop", "--python", bare_python, environ=environ)
    assert result.code == 3
    assert "Could not tell: torch cannot be imported: ModuleNotFoundError" in " ".join(result.out.split())
    made = document(invoke("verify-backprop", "--python", bare_python, "--format", "json", environ=environ))
    assert made["report"]["verdict"] == "unknown"
    assert made["facts"]["gradients"] is None
    assert made["facts"]["torch"]["installed"] is False


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("raise ImportError('libtorch_cpu.so: cannot open shared object file')", "libtorch_cpu.so"),
        ("raise SystemExit(0)", "SystemExit"),
        ("1 / 0", "ZeroDivisionError"),
        ("__version__ = '9'", "AttributeError"),
    ],
)
def test_a_torch_that_cannot_be_imported(tmp_path: Path, source: str, says: str) -> None:
    _, made = broken(tmp_path, source)
    (probe,) = made["report"]["probes"]
    assert (probe["state"], probe["stage"]) == ("failed", "import")
    assert says in probe["detail"]


@pytest.mark.parametrize(
    ("source", "state", "signal"),
    [
        ("import os; os.abort()", "crashed", "SIGABRT"),
        ("import ctypes; ctypes.string_at(0)", "crashed", "SIGSEGV"),
        ("import os; os._exit(0)", "crashed", None),
        ("import time; time.sleep(600)", "timeout", None),
    ],
)
def test_a_torch_that_dies_or_hangs(tmp_path: Path, source: str, state: str, signal: str | None) -> None:
    _, made = broken(tmp_path, source, "--deadline", "1.5" if state == "timeout" else "30")
    (probe,) = made["report"]["probes"]
    assert (probe["state"], probe["stage"], probe["signal"]) == (state, "import", signal)
    assert made["report"]["verdict"] == "unknown"


PATCHED = """
import importlib.util, sys, os
here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.remove(here)
del sys.modules["torch"]
import torch
{patch}
"""
"""The real torch, patched after its import, under the name of the module that was found first."""


def test_a_crash_in_one_case_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    patch = """
import ctypes
true = torch.nn.functional.conv1d
def crashing(x, *args, **more):
    return ctypes.string_at(0) if x.dtype is torch.bfloat16 else true(x, *args, **more)
torch.nn.functional.conv1d = crashing
"""
    _, made = broken(tmp_path, PATCHED.format(patch=patch), "--seconds", "0", code=1)
    assert made["report"]["primary"]["code"] == "EC508"
    (device,) = made["facts"]["gradients"]["devices"]
    assert device["died_in"] == ["exact/conv1d/bfloat16"]
    done = {(case["op"], case["dtype"]) for case in device["cases"] if case["outcome"] == "ok"}
    assert ("conv1d", "bfloat16") not in done
    assert {("conv1d", "float32"), ("conv1d", "float16"), ("conv2d", "bfloat16"), ("adam", "float16")} <= done


def test_a_hang_in_one_case_is_named_and_nothing_is_claimed(tmp_path: Path) -> None:
    patch = "import time\ntorch.nn.functional.gelu = lambda *_: time.sleep(600)"
    _, made = broken(tmp_path, PATCHED.format(patch=patch), "--deadline", "8")
    assert made["report"]["verdict"] == "unknown"
    (probe,) = made["report"]["probes"]
    assert (probe["state"], probe["stage"]) == ("timeout", "reference/gelu/float32/0")


def test_an_operation_that_this_torch_lacks_is_left_out(tmp_path: Path) -> None:
    patch = "del torch.nn.functional.scaled_dot_product_attention, torch.backends.cpu, torch.backends.mps"
    _, made = broken(tmp_path, PATCHED.format(patch=patch), "--seconds", "0", code=0)
    (device,) = made["facts"]["gradients"]["devices"]
    assert {case["outcome"] for case in device["cases"] if case["op"] == "attention"} == {"unsupported"}
    assert {case["outcome"] for case in device["cases"] if case["op"] != "attention"} == {"ok"}
    assert device["verdict"] == "trusted"


def test_numpy_is_not_needed(tmp_path: Path) -> None:
    patch = "assert sys.modules.get('numpy') is None"
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "numpy.py").write_text("raise ImportError('no numpy here')", encoding="utf-8")
    site = tmp_path / "broken"
    (site / "torch").mkdir()
    source = PATCHED.format(patch=patch).replace(
        "sys.path.remove(here)", "sys.path.remove(here); sys.path.append(here)"
    )
    (site / "torch" / "__init__.py").write_text(
        "sys = __import__('sys'); sys.modules['numpy'] = None\n" + source.replace(patch, "")
    )
    environ = {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(site)}
    assert invoke(*HERE, "--seconds", "0", environ=environ).code == 0


@pytest.mark.parametrize(
    ("variable", "value"), [("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"), ("DNNL_DEFAULT_FPMATH_MODE", "BF16")]
)
def test_a_variable_that_lowers_precision_is_shown(tmp_path: Path, variable: str, value: str) -> None:
    """On a processor with bfloat16 units oneDNN obeys it, on others nothing changes: both must be told truly."""
    environ = {"PATH": os.defpath, "HOME": str(tmp_path), variable: value}
    made = document(invoke(*HERE, "--seconds", "0", "--format", "json", environ=environ))
    gradients = made["facts"]["gradients"]
    assert gradients["variables"][variable] == value
    (conv,) = (
        one for one in gradients["devices"][0]["precision"] if (one["op"], one["dtype"]) == ("conv2d", "float32")
    )
    reduced = conv["operand_bits"] < 23
    assert ("EC505" in codes(made)) == reduced
    assert (made["report"]["verdict"] == "problem") == reduced


# Bad input


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--device", "tpu"), "tpu is no device"),
        (("--device", "cuda:x"), "cuda:x is no device"),
        (("--seconds", "-1"), "-1 is no number of seconds"),
        (("--seconds", "soon"), "soon is no number of seconds"),
        (("--seconds", "nan"), "nan is no number of seconds"),
        (("--seed", "x"), "'x' is not a valid integer"),
        (("--plot", "picture.gif"), "a plot is a .png or .svg file (picture.gif)"),
        (("--plot", "nowhere/picture.png"), "nowhere/picture.png"),
        (("--save", "/"), "(/)"),
        (("--format", "yaml"), "yaml"),
        (("--python", "/nowhere/python"), "/nowhere/python"),
        (("--python", "/etc/passwd"), "/etc/passwd"),
        (("--from", "nothing.json"), "nothing.json"),
        (("--from", "x.json", "--thorough"), "--from judges a file"),
    ],
)
def test_bad_options_are_one_clear_line(options: tuple[str, ...], says: str, tmp_path: Path) -> None:
    result = invoke("verify-backprop", *options, environ={"PATH": os.defpath, "HOME": str(tmp_path)})
    assert result.code == 2
    assert result.out == ""
    assert says in result.err
    assert result.err.startswith("error: ")
    assert len(result.err.splitlines()) <= 2


def test_a_program_that_is_no_python(tmp_path: Path) -> None:
    result = invoke("verify-backprop", "--python", "/bin/true", environ={"PATH": os.defpath, "HOME": str(tmp_path)})
    assert result.code == 2
    assert "not a Python interpreter" in result.err


STEP = "cpu/exact/linear/float32"
DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "newer": lambda run: run.update(schema=99),
    "a snapshot": lambda run: (run.clear(), run.update(schema=1, facts={})),
    "no operands": lambda run: run["ask"]["exact"][0].update(operands=[]),
    "a case that is not known": lambda run: run["ask"]["exact"][0].update(name="nothing"),
    "no base64": lambda run: run["values"][STEP].update(data="@@@"),
    "no zlib": lambda run: run["values"][STEP].update(data=b64encode(b"x" * 64).decode()),
    "too few bytes": lambda run: run["values"][STEP].update(data=b64encode(zlib.compress(b"")).decode()),
    "no number": lambda run: run["values"]["cpu/lesson/float64"].update(chain=["x", "y"]),
    "wrong types": lambda run: run["values"].update({STEP: 7}),
    "devices that are none": lambda run: run["values"].update(devices=[{"device": 3}]),
    "a kind that is none": lambda run: run["values"]["devices"].append({"device": "cpu", "kind": "abacus"}),
    "a name that is none": lambda run: run["values"]["devices"][0].update(name=5),
    "a version that is none": lambda run: run["values"]["torch"].update(version=["2.13"]),
    "rounds that are none": lambda run: run["values"]["cpu/load"].update(rounds="many"),
}


def damaged(kind: str, good: bytes) -> bytes:
    if kind == "truncated":
        return good[: len(good) // 2]
    if kind == "a list":
        return b"[]"
    run = json.loads(good)
    DAMAGES[kind](run)
    return json.dumps(run).encode()


@pytest.mark.parametrize("kind", ["truncated", "a list", *DAMAGES])
def test_a_damaged_record_is_one_clear_line(kind: str, recorded: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(damaged(kind, recorded[0].read_bytes()))
    result = invoke("verify-backprop", "--from", path, environ={})
    assert result.code == 2, result
    assert result.out == ""
    assert len(result.err.splitlines()) <= 2
    assert "envcheck itself failed" not in result.err


def test_text_from_the_machine_reaches_no_terminal_raw(recorded: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    run = json.loads(recorded[0].read_bytes())
    evil = "\x1b[31m\u202eGPU[/red]\x9b2J"
    run["values"]["devices"].append({"device": "cuda:0", "kind": "cuda", "name": evil})
    run["values"]["cuda:0/kernel"] = {"ms": 1.0, "total": "0x1.0p+4"}
    run["errors"] = {"cuda:0/exact/linear/float32": {"type": "RuntimeError", "text": evil, "traceback": ""}}
    run["values"]["torch"]["version"] = evil
    run["ask"]["devices"] = []
    path = tmp_path / "evil.json"
    path.write_text(json.dumps(run))
    for options in ((), ("-v",), ("--lesson",), ("--format", "json")):
        shown = invoke("verify-backprop", "--from", path, *options, environ={"NO_COLOR": "1"})
        assert shown.code == 1
        assert not {"\x1b", "\x9b", "\u202e"} & set(shown.out)


def test_a_deadline_of_nothing_decides_nothing(tmp_path: Path) -> None:
    environ = {"PATH": os.defpath, "HOME": str(tmp_path)}
    result = invoke(*HERE, "--deadline", "0", "--format", "json", environ=environ)
    assert result.code == 3
    assert document(result)["report"]["verdict"] == "unknown"
