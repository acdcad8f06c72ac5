"""`envcheck doctor` end to end: this machine, recorded machines, bad input, exit codes."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from helpers.cli import invoke
from helpers.golden import FOLDER, MACHINES

from envcheck.commands.backprop import deepened
from envcheck.commands.doctor import exit_code
from envcheck.model.errors import Exit
from envcheck.model.facts import Facts, Torch
from envcheck.model.report import Finding, Report, Severity, Verdict
from envcheck.model.text import say
from envcheck.probes.system import System
from envcheck.render.schema import SCHEMA_FILE

VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text("utf-8")))
HEALTHY = FOLDER / "healthy-cpu.json"
BROKEN = FOLDER / "driver-too-old.json"


def document(*argv: str | Path, **settings: Any) -> dict[str, Any]:
    """The JSON report, validated."""
    ended = invoke("doctor", "--format", "json", *argv, **settings)
    assert ended.err == ""
    made: dict[str, Any] = json.loads(ended.out)
    VALIDATOR.validate(made)
    return made


def report(severity: Severity | None, verdict: Verdict = "healthy") -> Report:
    found = [Finding(code="EC999", slug="x", cause=None, severity=severity, title=say("x"))] if severity else []
    return Report(verdict=verdict, can_train=(), primary=None, findings=tuple(found), checks=(), probes=())


# This machine ---------------------------------------------------------------------------------------------------


def test_this_interpreter_can_train_and_its_snapshot_gives_the_very_same_report(tmp_path: Path) -> None:
    saved = tmp_path / "here.json"
    here = document("--python", sys.executable, "--save", saved)
    assert here["target"]["chosen_by"] == "--python"
    assert here["facts"]["torch"]["imported"] is True
    assert "cpu" in here["report"]["can_train"]
    assert here["report"]["primary"] is None or here["report"]["primary"]["code"] != "EC300"
    again = document("--from", saved)
    assert again["report"] == here["report"]
    assert again["facts"] == here["facts"]
    assert [path.name for path in tmp_path.iterdir()] == ["here.json"]


def test_without_importing_torch_its_version_is_known() -> None:
    seen = document("--python", sys.executable, "--no-torch")
    assert seen["facts"]["torch"]["version"].startswith("2.13")
    assert seen["facts"]["torch"]["imported"] is None
    states = {look["look"]: look["state"] for look in seen["report"]["probes"]}
    assert states["torch"] == "skipped"


def test_a_deep_look_holds_the_gradients_and_its_snapshot_gives_the_very_same_report(tmp_path: Path) -> None:
    saved = tmp_path / "deep.json"
    here = document("--python", sys.executable, "--deep", "--save", saved)
    assert [device["verdict"] for device in here["facts"]["gradients"]["devices"] if device["device"] == "cpu"] == [
        "trusted"
    ]
    looks = {look["look"]: look for look in here["report"]["probes"]}
    assert looks["backprop"]["state"] == "ok"
    assert looks["backprop"]["ms"] > 0
    ran = {check["code"]: check["status"] for check in here["report"]["checks"] if check["code"].startswith("EC5")}
    assert ran["EC502"] == "pass"
    assert document("--from", saved)["report"] == here["report"]
    assert "back-propagation was checked and is right on CPU" in invoke("doctor", "--from", saved).out


@pytest.mark.parametrize(
    ("imported", "until", "state"), [(True, 0.0, "timeout"), (None, 1e12, "skipped"), (False, 1e12, "skipped")]
)
def test_a_deep_look_without_torch_or_time_says_that_it_was_not_made(
    imported: bool | None, until: float, state: str
) -> None:
    facts = Facts(torch=Torch(installed=True, imported=imported))
    seen = deepened(System(environ={}), facts, sys.executable, until)
    assert seen.gradients is None
    assert [(look.look, look.state) for look in seen.observations] == [("backprop", state)]


def test_a_device_that_computes_wrong_is_none_to_train_on() -> None:
    made = document("--from", FOLDER.parent / "machines" / "gradients-norm-scaled.json")
    assert made["facts"]["torch"]["cpu_kernel_ok"] is True
    assert made["report"]["can_train"] == []


def test_no_secret_and_no_name_of_this_machine_gets_out(tmp_path: Path) -> None:
    home = tmp_path / "home-of-canary"
    (home / ".config" / "pip").mkdir(parents=True)
    settings = "[global]\nindex-url = https://canaryuser:canarypw@index.example/canarytoken1234567890ab/simple\n"
    (home / ".config" / "pip" / "pip.conf").write_text(settings)
    environ = {
        "HOME": str(home),
        "USER": "canaryname",
        "LOGNAME": "canaryname",
        "HTTPS_PROXY": "http://canaryuser:canarypw@127.0.0.1:1/",
        "PIP_EXTRA_INDEX_URL": "https://canarytoken@index.example/simple",
        "PATH": f"{home}/bin:/usr/bin:/bin",
        "CANARY": "canaryvalue",
    }
    argv = ["--python", sys.executable, "--no-torch"]
    outputs = [
        invoke("doctor", *argv, "--format", face, "-v", environ=environ) for face in ("console", "json", "markdown")
    ]
    outputs.append(invoke("snapshot", *argv, environ=environ))
    for ended in outputs:
        assert ended.out
        assert "canary" not in ended.out.lower()
        assert "canary" not in ended.err.lower()


# Recorded machines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_document_is_valid_and_says_the_same_in_both_languages(machine: str, language: str) -> None:
    source = FOLDER / f"{machine}.json"
    made = document("--from", source, "--lang", language)
    other = document("--from", source, "--lang", "en")
    names = [
        (found["code"], found["cause"], found["severity"], found["caused_by"]) for found in made["report"]["findings"]
    ]
    assert names == [
        (found["code"], found["cause"], found["severity"], found["caused_by"]) for found in other["report"]["findings"]
    ]
    primary = made["report"]["primary"]
    assert primary is None or primary in made["report"]["findings"]


def test_a_report_can_be_judged_again_from_its_json(tmp_path: Path) -> None:
    first = invoke("doctor", "--from", BROKEN, "--format", "json")
    saved = tmp_path / "report.json"
    saved.write_text(first.out, "utf-8")
    assert invoke("doctor", "--from", saved, "--format", "json") == first
    assert invoke("doctor", "--from", "-", "--format", "json", stdin=first.out.encode()) == first


def test_pasted_text_is_read(tmp_path: Path) -> None:
    pasted = b"$ python\n>>> import torch\n>>> torch.__version__\n'2.4.1+cpu'\n>>> torch.cuda.is_available()\nFalse\n"
    seen = document("--from", "-", stdin=pasted)
    assert seen["facts"]["source"] == "text"
    assert seen["facts"]["torch"]["version"] == "2.4.1+cpu"
    utf16 = tmp_path / "pasted.txt"
    utf16.write_bytes(pasted.decode().encode("utf-16"))
    assert document("--from", utf16)["facts"]["torch"]["version"] == "2.4.1+cpu"


def test_of_nothing_nothing_is_said() -> None:
    ended = invoke("doctor", "--from", "-", stdin=b"lorem ipsum\n")
    assert ended.code == Exit.UNKNOWN
    assert "Undecided" in ended.out


def test_checks_are_chosen_by_the_beginnings_of_their_codes() -> None:
    made = document("--from", BROKEN, "--select", "ec2,EC301", "--ignore", "EC206")
    ran = {check["code"] for check in made["report"]["checks"] if check["status"] in ("pass", "fail")}
    assert ran
    assert all(code.startswith("EC2") or code == "EC301" for code in ran - {"EC206"})
    assert "EC206" not in ran
    assert invoke("doctor", "--from", BROKEN, "--ignore", "EC").code == Exit.OK


# Bad input ------------------------------------------------------------------------------------------------------


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def of_a_gibibyte(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(1 << 30)
    return path


SNAPSHOT = HEALTHY.read_bytes()
BAD_SOURCES: dict[str, Any] = {
    "absent": lambda folder: folder / "none.json",
    "a directory": lambda folder: folder,
    "cut off": lambda folder: write(folder / "f", SNAPSHOT[: len(SNAPSHOT) // 2]),
    "a newer schema": lambda folder: write(folder / "f", SNAPSHOT.replace(b'"schema": 1', b'"schema": 99')),
    "another schema": lambda folder: write(folder / "f", SNAPSHOT.replace(b'"schema": 1', b'"schema": "one"')),
    "a wrong type": lambda folder: write(folder / "f", SNAPSHOT.replace(b'"bits": 64', b'"bits": "many"')),
    "an unknown field": lambda folder: write(folder / "f", SNAPSHOT.replace(b'"bits"', b'"bites"')),
    "another document": lambda folder: write(folder / "f", b'{"name": "package.json"}'),
    "a list": lambda folder: write(folder / "f", b"{[1, 2]}"),
    "no text": lambda folder: write(folder / "f", b"\x7fELF\x02\x01\x01\xff\xfe\x80" * 50),
    "nested deeply": lambda folder: write(folder / "f", b'{"facts":' * 5000),
    "a gibibyte": lambda folder: of_a_gibibyte(folder / "f"),
    "a NUL in its name": lambda folder: "a\0b",
}


@pytest.mark.parametrize("kind", BAD_SOURCES)
def test_a_bad_snapshot_is_one_clear_line(kind: str, tmp_path: Path) -> None:
    source = BAD_SOURCES[kind](tmp_path)
    ended = invoke("doctor", "--from", source)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    first, *hint = ended.err.splitlines()
    assert first.startswith("error: ")
    assert str(source).replace("\0", r"\x00") in first
    assert len(hint) <= 1


def test_an_unreadable_standard_input_is_one_clear_line() -> None:
    ended = invoke("doctor", "--from", "-", stdin=b"\xff\xff\xff")
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert "UTF-8" in ended.err


@pytest.mark.parametrize("asked", ["/no/such/python", "/etc/passwd", "", "no-such-program", "/tmp"])
def test_a_bad_interpreter_is_one_clear_line(asked: str) -> None:
    ended = invoke("doctor", "--python", asked)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert ended.err.startswith("error: ")
    assert len(ended.err.splitlines()) == 2


def test_a_deep_look_needs_torch_and_says_so_before_it_looks() -> None:
    ended = invoke("doctor", "--deep", "--no-torch", "--python", "/no/such/python")
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert ended.err == "error: --deep needs torch\nhint: leave --no-torch out\n"


def test_a_program_that_is_no_python_is_one_clear_line() -> None:
    ended = invoke("doctor", "--python", shutil.which("true") or "")
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert len(ended.err.splitlines()) <= 2


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--select", "EX2"], "EC2"),
        (["--ignore", "EC1,EC3x"], "EC3X"),
        (["--select", "torch"], "TORCH"),
        (["--python", "python3"], "--python"),
        (["--no-torch"], "--no-torch"),
        (["--deep"], "--deep"),
        (["--save", "/no/such/folder/x.json"], "/no/such/folder/x.json"),
        (["--save", "/tmp"], "/tmp"),
        (["--deadline", "nan"], "nan"),
        (["--deadline", "1e9"], "1e9"),
    ],
)
def test_bad_options_are_one_clear_line(argv: list[str], says: str) -> None:
    ended = invoke("doctor", "--from", HEALTHY, *argv)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert says in ended.err
    assert len(ended.err.splitlines()) <= 2


# --save ---------------------------------------------------------------------------------------------------------


def test_what_is_saved_can_be_read_and_replaces_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "saved.json"
    target.write_text("old")
    link = tmp_path / "link.json"
    link.symlink_to(target)
    assert invoke("doctor", "--from", HEALTHY, "--save", link).code == Exit.OK
    assert link.is_symlink()
    assert msgspec.json.decode(target.read_bytes(), type=Facts) == msgspec.json.decode(SNAPSHOT, type=Facts)


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert invoke("doctor", "--from", HEALTHY, "--save", pipe).code == Exit.OK
    assert os.read(reading, 1 << 20).startswith(b"{")
    os.close(reading)
    assert pipe.is_fifo()


# Exit codes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [
        ("error", "error", 1),
        ("error", "info", 1),
        ("error", "never", 0),
        ("warning", "error", 0),
        ("warning", "warning", 1),
        ("info", "warning", 0),
        ("info", "info", 1),
        (None, "info", 0),
    ],
)
def test_exit_code_by_severity(severity: Severity | None, fail_on: str, code: int) -> None:
    assert exit_code(report(severity), fail_on) == code


def test_exit_code_when_it_could_not_tell() -> None:
    assert exit_code(report(None, "unknown"), "error") == Exit.UNKNOWN
    assert exit_code(report("warning", "unknown"), "warning") == Exit.FINDING
    assert exit_code(report(None, "unknown"), "never") == Exit.OK


def test_exit_codes_of_recorded_machines() -> None:
    assert invoke("doctor", "--from", HEALTHY).code == Exit.OK
    assert invoke("doctor", "--from", BROKEN).code == Exit.FINDING
    assert invoke("doctor", "--from", BROKEN, "--fail-on", "never").code == Exit.OK
    assert invoke("doctor", "--from", HEALTHY, "--fail-on", "info").code == Exit.FINDING
