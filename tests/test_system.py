"""The door to the machine, with real files, processes and servers."""

import os
import stat
import sys
import time
import uuid
from pathlib import Path

import pytest
from helpers.faketorch import left_behind

from envcheck.probes.outcome import decode, signal_of
from envcheck.probes.system import ReadResult, System


def fake(root: Path, files: dict[str, bytes], **environ: str) -> System:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return System(root, environ)


def program(folder: Path, name: str, body: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + body + "\n")
    path.chmod(0o755)
    return str(path)


def test_files_below_a_fake_root(tmp_path: Path) -> None:
    system = fake(
        tmp_path, {"proc/version": b"Linux\n", "sys/a/b": b"1", "etc/odd": b"a\xffb", "etc/u16": "é".encode("utf-16")}
    )
    assert system.read("/proc/version") == ReadResult("Linux\n", None)
    assert system.read("/etc/odd").text == "a\\xffb"
    assert system.read("/etc/u16").text == "é"
    assert system.read("/nope") == ReadResult(None, "ENOENT")
    assert system.read("/sys/a") == ReadResult(None, "EISDIR")
    assert system.read("/proc/version/x") == ReadResult(None, "ENOTDIR")
    assert system.read("a\0b") == ReadResult(None, "EINVAL")
    assert system.read("/proc/version", cap=3) == ReadResult("Lin", "TOOBIG")
    assert system.read(str(tmp_path / "proc/version")).text == "Linux\n"
    assert system.listdir("/sys/a") == ("b",)
    assert system.listdir("/nope") is None
    assert (system.kind("/sys/a"), system.kind("/sys/a/b"), system.exists("/nope")) == ("dir", "file", False)


def test_reading_never_blocks_on_a_pipe_or_runs_round_in_links(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to("../drivers/nvidia")
    system = System(tmp_path, {})
    assert system.read("/fifo").text in ("", None)
    assert system.read("/loop") == ReadResult(None, "ELOOP")
    assert system.readlink("/link") == "../drivers/nvidia"
    assert system.readlink("/fifo") is None
    assert not system.exists("/link")


def test_device_nodes(tmp_path: Path) -> None:
    system = fake(tmp_path, {"dev/nvidia0": b""})
    (tmp_path / "dev/nvidia0").chmod(0o640)
    node = system.node("/dev/nvidia0", try_open=True)
    assert node is not None
    assert (node.mode, node.readable, node.error) == ("-rw-r-----", True, None)
    assert system.node("/dev/nvidia1") is None
    (tmp_path / "dev/dir").mkdir()
    odd = system.node("/dev/dir", try_open=True)
    assert odd is not None
    assert odd.error == "EISDIR"


def test_which_takes_absolute_and_trusted_programs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad, open_folder = tmp_path / "good", tmp_path / "bad", tmp_path / "open"
    for folder in (good, bad, open_folder, tmp_path / "here"):
        program(folder, "nvidia-smi", "exit 0")
    (bad / "nvidia-smi").chmod(0o777)
    open_folder.chmod(0o777)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/nvidia-smi").write_text("not executable")
    monkeypatch.chdir(tmp_path / "here")
    path = f".::here:{tmp_path}/plain:{bad}:{open_folder}:{good}"
    system = System(environ={"PATH": path})
    assert system.which("nvidia-smi") == f"{good}/nvidia-smi"
    assert system.which("nvidia-smi", trusted=False) == f"{bad}/nvidia-smi"
    assert System(environ={"PATH": ".:"}).which("nvidia-smi", trusted=False) is None
    assert System(environ={}).which("nvidia-smi") is None


def test_which_and_run_stay_below_a_fake_root(tmp_path: Path) -> None:
    program(tmp_path / "usr/bin", "nvidia-smi", "echo fake")
    system = System(tmp_path, {"PATH": "/usr/bin"})
    assert system.which("nvidia-smi") == "/usr/bin/nvidia-smi"
    assert system.which("sh") is None
    assert system.run(["/usr/bin/nvidia-smi"], limit=5).stdout == "fake\n"


def test_which_on_windows_starts_in_system32(tmp_path: Path) -> None:
    for name in ("C/Windows/System32/tool.exe", "C/bin/tool.exe", "C/bin/other.cmd"):
        program((tmp_path / name).parent, Path(name).name, "")
    system = System(tmp_path, {"PATH": "bin;C:\\bin", "WINDIR": "C:\\Windows"}, platform="win32")
    assert system.which("tool") == "C:\\Windows\\System32\\tool.exe"
    assert system.which("other") == "C:\\bin\\other.cmd"


@pytest.mark.parametrize(
    ("body", "state", "returncode", "signal"),
    [
        ("echo out; echo err >&2", "ok", 0, None),
        ("exit 9", "failed", 9, None),
        ("kill -SEGV $$", "crashed", -11, "SIGSEGV"),
        ("exit 139", "crashed", 139, "SIGSEGV"),
        ("exit 255", "failed", 255, None),
    ],
)
def test_run_names_the_end(tmp_path: Path, body: str, state: str, returncode: int, signal: str | None) -> None:
    ran = System().run([program(tmp_path, "tool", body)], limit=10)
    assert (ran.state, ran.returncode, ran.signal) == (state, returncode, signal)
    if state == "ok":
        assert (ran.stdout, ran.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize(
    "body",
    [
        "trap '' TERM; sleep 100 & wait; sleep 100",
        "sleep 100",
        "exec 1>&- 2>&-; sleep 100",
        "yes | tail -f & sleep 100",
    ],
)
def test_run_ends_at_its_limit_with_all_its_children(tmp_path: Path, body: str) -> None:
    mark = f"MARK_{uuid.uuid4().hex}"
    begun = time.monotonic()
    ran = System(environ={"PATH": "/usr/bin:/bin", "M": mark}).run([program(tmp_path, "tool", body)], limit=0.3)
    assert time.monotonic() - begun < 0.8
    assert (ran.state, ran.returncode) == ("timeout", None)
    assert left_behind(mark) == []


def test_run_does_not_wait_for_a_grandchild_that_holds_the_pipe(tmp_path: Path) -> None:
    mark = f"MARK_{uuid.uuid4().hex}"
    ran = System(environ={"PATH": "/usr/bin:/bin", "M": mark}).run(
        [program(tmp_path, "tool", "sleep 100 & echo done")], limit=10
    )
    assert (ran.state, ran.stdout) == ("ok", "done\n")
    assert ran.ms < 1000
    assert left_behind(mark) == []


@pytest.mark.parametrize("stream", ["1", "2"])
def test_a_flood_is_stopped_at_the_cap(tmp_path: Path, stream: str) -> None:
    ran = System().run([program(tmp_path, "tool", f"yes >&{stream}")], limit=20, cap=100_000)
    assert ran.state == "failed"
    assert ran.detail == "printed more than 100000 bytes"
    assert len(ran.stdout + ran.stderr) == 100_000
    assert ran.ms < 10_000


def test_run_of_what_cannot_run(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    assert System().run([str(tmp_path / "nope")], limit=1).state == "absent"
    ran = System().run([str(tmp_path / "text")], limit=1)
    assert (ran.state, ran.returncode) == ("failed", None)
    assert System().run([str(tmp_path)], limit=1).detail == "EACCES"
    assert System().run(["a\0b"], limit=1).state == "failed"


def test_run_gives_the_environment_it_was_given(tmp_path: Path) -> None:
    tool = program(tmp_path, "tool", "echo $A-$B; pwd")
    system = System(environ={"A": "1", "PATH": "/bin"})
    assert system.run([tool], limit=9).stdout == "1-\n/\n"
    assert system.run([tool], limit=9, env={"B": "2"}, cwd=str(tmp_path)).stdout == f"-2\n{tmp_path}\n"


def test_who_and_where(tmp_path: Path) -> None:
    system = fake(tmp_path, {"proc/sys/kernel/hostname": b"box\n"}, HOME="/home/u", USER="u")
    assert (system.home(), system.user(), system.hostname()) == ("/home/u", "u", "box")
    assert System(tmp_path, {"USERPROFILE": "C:\\Users\\u"}, "win32").home() == "C:\\Users\\u"
    assert system.machine == System().machine
    assert System(machine="AMD64").machine == "x86_64"
    assert (System().free_bytes(str(tmp_path / "not/there/yet")) or 0) > 0
    assert isinstance(System().admin(), bool)
    assert System().groups()


def test_a_removed_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert System().cwd() == "/"


def test_codes_and_texts() -> None:
    assert signal_of(-9) == "SIGKILL"
    assert signal_of(0xC0000005) == signal_of(0xC0000005 - 2**32) == "ACCESS_VIOLATION"
    assert signal_of(-99) == "signal 99"
    assert signal_of(129) is None
    assert decode(b"\xef\xbb\xbfx") == "x"


def test_the_mode_of_a_private_directory_is_private(tmp_path: Path) -> None:
    from envcheck.probes.worker import Worker

    worker = Worker([sys.executable], "import time; time.sleep(50)", {}, {"TMPDIR": str(tmp_path)})
    (folder,) = tmp_path.glob("envcheck-*")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    worker.close()
    assert not folder.exists()
