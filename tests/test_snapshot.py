"""`envcheck snapshot` and the files that commands read and write."""

import io
import json
import os
import sys
import threading
from pathlib import Path

import jsonschema
import pytest
from helpers.cli import invoke

from envcheck.commands.files import check_writable, read_text, write_whole
from envcheck.commands.progress import Progress
from envcheck.commands.world import World
from envcheck.model.codec import decode
from envcheck.model.errors import EnvcheckError, Exit
from envcheck.probes.system import System
from envcheck.render.schema import SCHEMA_FILE

HERE = ["--python", sys.executable, "--no-torch"]


def test_a_snapshot_is_redacted_facts() -> None:
    shown = invoke("snapshot", *HERE)
    assert (shown.code, shown.err) == (Exit.OK, "")
    jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text("utf-8"))).validate(json.loads(shown.out))
    facts = decode(shown.out)
    assert facts.redacted
    assert facts.torch.version is not None


def test_a_snapshot_goes_to_a_file_and_back_through_doctor(tmp_path: Path) -> None:
    target = tmp_path / "machine.json"
    assert invoke("snapshot", target, *HERE) == (Exit.OK, "", "")
    from_file = invoke("doctor", "--from", target, "--format", "json")
    from_pipe = invoke("doctor", "--from", "-", "--format", "json", stdin=target.read_bytes())
    assert from_file == from_pipe
    assert json.loads(from_file.out)["facts"] == json.loads(target.read_text("utf-8"))


def test_a_snapshot_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    ended = invoke("snapshot", tmp_path, *HERE)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert ended.err.startswith("error: cannot write: ")


# Files ----------------------------------------------------------------------------------------------------------


def test_old_bytes_or_new_bytes_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvcheckError, match="No space left"):
        write_whole(str(target), b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for attempt in (check_writable, lambda path: write_whole(path, b"")):
        with pytest.raises(EnvcheckError, match="cannot write"):
            attempt(str(tmp_path / "no" / "file"))


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_mark_at_the_beginning_is_no_text(mark: bytes, tmp_path: Path) -> None:
    source = tmp_path / "f"
    source.write_bytes(mark + "驱动".encode())
    assert read_text(World(), str(source)) == "驱动"


def test_standard_input_may_be_a_text_stream() -> None:
    assert read_text(World(stdin=io.StringIO("pasted")), "-") == "pasted"


# Progress -------------------------------------------------------------------------------------------------------


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_names_what_is_being_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    written = threading.Event()

    class Watched(Screen):
        def write(self, text: str) -> int:
            if "waiting" in text:
                written.set()
            return super().write(text)

    screen = Watched()
    monkeypatch.setattr("envcheck.commands.progress.PATIENCE", 0.0)
    with Progress(World(system=System(environ={}), err=screen), 60) as progress:
        progress.began("torch")
        assert written.wait(10)
    assert "\rwaiting for: import torch (0 s of 60 s)" in screen.getvalue()
    assert screen.getvalue().endswith(" \r")


def test_progress_counts_from_the_look_that_waits_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress(World(system=System(environ={"COLUMNS": "44"}), err=Screen()), 30)
    for moment, look in ((100.0, "torch"), (103.0, "a look with a long name")):
        monkeypatch.setattr("time.monotonic", lambda moment=moment: moment)
        progress.began(look)
    assert progress.line(104.2) == "waiting for: import torch, a look with a l…"
    progress.ended("a look with a long name")
    assert progress.line(104.2) == "waiting for: import torch (4 s of 30 s)"
    progress.ended("torch")
    assert progress.line(105.0) == ""


def test_progress_is_silent_where_nobody_watches() -> None:
    out = io.StringIO()
    with Progress(World(system=System(environ={}), err=out), 60) as progress:
        progress.began("torch")
    assert out.getvalue() == ""
