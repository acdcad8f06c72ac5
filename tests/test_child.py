"""Workers: what they say, how they die, what they leave."""

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from helpers.faketorch import left_behind
from hypothesis import given
from hypothesis import strategies as st

from envcheck.cli import finish_tidying
from envcheck.probes.child import end, spawn
from envcheck.probes.events import Log
from envcheck.probes.worker import KEPT, Worker, WorkerResult, run_worker

SAY = """
import json, os, sys
folder = os.path.dirname(os.path.abspath(__file__))
ask = json.load(open(os.path.join(folder, "ask.json")))
def say(**event):
    with open(os.path.join(folder, "events.jsonl"), "a") as file:
        file.write(json.dumps(event) + chr(10))
say(event="hello")
"""


def run(body: str, tmp_path: Path, limit: float = 20, **ask: object) -> WorkerResult:
    mark = f"MARK_{uuid.uuid4().hex}"
    env = {"TMPDIR": str(tmp_path), "M": mark}
    result = run_worker([sys.executable, "-S"], SAY + body, ask, env, limit=limit)
    finish_tidying()
    assert left_behind(mark) == []
    assert list(tmp_path.glob("envcheck-*")) == []
    return result


def test_values_errors_and_the_question(tmp_path: Path) -> None:
    result = run(
        """
say(event="begin", step="a"); say(event="end", step="a", value=ask["n"])
say(event="begin", step="b"); say(event="end", step="b", error={"type": "E", "text": "t", "traceback": ""})
say(event="bye")
""",
        tmp_path,
        n=[1, None],
    )
    assert (result.state, result.stage, result.returncode) == ("ok", None, None)
    assert result.values == {"a": [1, None]}
    assert result.errors == {"b": {"type": "E", "text": "t", "traceback": ""}}


@pytest.mark.parametrize(
    ("body", "state", "signal", "returncode"),
    [
        ("os.abort()", "crashed", "SIGABRT", -6),
        ("os._exit(0)", "crashed", None, 0),
        ("os._exit(7)", "crashed", None, 7),
        ("raise ValueError('no')", "crashed", None, 1),
        (
            "open(os.path.join(folder, 'events.jsonl'), 'a').write('{\"event\": \"end\", \"st'); os.abort()",
            "crashed",
            "SIGABRT",
            -6,
        ),
    ],
)
def test_a_death_is_blamed_on_its_step(
    tmp_path: Path, body: str, state: str, signal: str | None, returncode: int
) -> None:
    result = run(
        'say(event="begin", step="a"); say(event="end", step="a", value=1)\nsay(event="begin", step="b")\n' + body,
        tmp_path,
    )
    assert (result.state, result.stage, result.signal, result.returncode) == (state, "b", signal, returncode)
    assert result.values == {"a": 1}


def test_no_hello_is_no_worker(tmp_path: Path) -> None:
    result = run_worker(["/bin/echo"], "", {}, {"TMPDIR": str(tmp_path)}, limit=9)
    assert (result.state, result.detail) == ("failed", "exit code 0 before it began")
    assert result.output.endswith("script.py\n")
    assert run_worker([str(tmp_path / "none")], "", {}, {"TMPDIR": str(tmp_path)}, limit=9).state == "absent"
    (tmp_path / "text").write_text("x")
    assert run_worker([str(tmp_path / "text")], "", {}, {"TMPDIR": str(tmp_path)}, limit=9).detail == "EACCES"
    finish_tidying()
    assert list(tmp_path.glob("envcheck-*")) == []


def test_a_bye_is_enough(tmp_path: Path) -> None:
    assert run('say(event="bye"); os._exit(3)', tmp_path).state == "ok"


def test_a_worker_that_will_not_go(tmp_path: Path) -> None:
    begun = time.monotonic()
    result = run(
        """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
say(event="begin", step="s")
time.sleep(99)
""",
        tmp_path,
        limit=0.5,
    )
    assert (result.state, result.stage, result.returncode) == ("timeout", "s", None)
    assert time.monotonic() - begun < 1.0


def test_output_is_bounded_while_it_is_printed(tmp_path: Path) -> None:
    worker = Worker([sys.executable], "while True: print('z' * 999)", {}, {"TMPDIR": str(tmp_path)})
    sizes = []
    until = worker.begun + 1.0
    while time.monotonic() < until:
        worker.value("never", min(until, time.monotonic() + 0.02))
        sizes += [path.stat().st_size for path in tmp_path.glob("envcheck-*/output.txt")]
    result = worker.finish(time.monotonic())
    assert max(sizes) < 512 << 20
    assert result.state == "timeout"
    assert KEPT < len(result.output) <= 3 * KEPT + 20


def test_side_by_side_and_values_on_the_way(tmp_path: Path) -> None:
    slow = (
        SAY
        + """
import time
say(event="begin", step="a"); say(event="end", step="a", value=1)
say(event="begin", step="b")
time.sleep(99)
"""
    )
    env = {"TMPDIR": str(tmp_path)}
    first, second = Worker([sys.executable], slow, {}, env), Worker([sys.executable], SAY + 'say(event="bye")', {}, env)
    assert first.value("a", time.monotonic() + 20) == 1
    assert first.poll() in ("b", None)
    assert second.finish(time.monotonic() + 20).state == "ok"
    assert first.value("never", time.monotonic()) is None
    assert first.finish(time.monotonic()).state == "timeout"
    assert first.finish(time.monotonic()).state == "skipped"


def test_modules_beside_the_script(tmp_path: Path) -> None:
    worker = Worker(
        [sys.executable, "-B"],
        SAY + "import other\nother.go(say)",
        {},
        {"TMPDIR": str(tmp_path)},
        beside={"other.py": "def go(say): say(event='bye')"},
    )
    assert worker.finish(time.monotonic() + 20).state == "ok"
    finish_tidying()
    assert list(tmp_path.glob("envcheck-*")) == []


def test_without_a_place_for_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from envcheck.probes import worker

    def refuse(env: object) -> Path:
        raise PermissionError(13, "no")

    monkeypatch.setattr(worker, "private_folder", refuse)
    result = run_worker([sys.executable], "", {}, {}, limit=1)
    assert (result.state, result.detail) == ("failed", "EACCES")


def test_an_unusable_tmpdir_is_passed_over(tmp_path: Path) -> None:
    env = {"TMPDIR": str(tmp_path / "not there"), "TEMP": str(tmp_path)}
    assert run_worker([sys.executable], SAY + 'say(event="bye")', {}, env, limit=20).state == "ok"


def test_odd_numbers_and_letters() -> None:
    odd = [{"event": "end", "step": "x", "value": {"n": float("nan"), "s": "\udc80", "l": [float("inf")]}}]
    log = Log("\n".join(json.dumps(event) for event in odd).encode())
    assert log.values == {"x": {"n": None, "s": "\\udc80", "l": [None]}}


@given(st.binary(max_size=400))
def test_any_bytes_can_be_a_log(data: bytes) -> None:
    Log(data)
    Log(b'{"event": "end", "step": ' + data + b"}\n" + data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_any_json_object_can_be_an_event(value: object) -> None:
    line = json.dumps({"event": "end", "step": value, "value": value, "error": value}).encode()
    assert isinstance(Log(line + b"\n").values, dict)


def test_no_descriptor_is_lost(tmp_path: Path) -> None:
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(5):
        run('say(event="bye")', tmp_path)
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


def test_a_process_that_outlives_its_kill_is_left_alone() -> None:
    """As one in uninterruptible sleep would: nothing waits for it, and nothing complains about it later."""
    process = spawn(["/bin/sleep", "100"], subprocess.DEVNULL, subprocess.DEVNULL, {}, "/")
    ends, process.wait = process.wait, never  # type: ignore[method-assign]
    begun = time.monotonic()
    assert end(process) is None
    assert time.monotonic() - begun < 0.2
    assert process.returncode is not None
    process.returncode, process.wait = None, ends  # type: ignore[method-assign]
    assert process.wait(10) == -9


def never(timeout: float | None = None) -> int:
    raise subprocess.TimeoutExpired("sleep", timeout or 0)


def test_a_worker_that_said_bye_is_not_waited_for(tmp_path: Path) -> None:
    """Taking down the memory of a process that had a GPU takes longer than everything that it was asked."""
    result = run('say(event="bye"); import time; time.sleep(60)', tmp_path, limit=30)
    assert (result.state, result.returncode) == ("ok", None)
    assert result.ms < 30000
