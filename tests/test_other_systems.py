"""What Windows and macOS do otherwise, on fake roots: names of variables, paths, stubs, code pages, emulation."""

from pathlib import Path

import pytest
from helpers.cases import found, recorded

from envcheck.probes import host, interpreter
from envcheck.probes.outcome import decode
from envcheck.probes.system import System, _is_apple_silicon


def windows(root: Path, **environ: str) -> System:
    return System(root, environ, platform="win32", machine="AMD64")


def put(root: Path, path: str, text: str = "") -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, "utf-8")
    place.chmod(0o755)


# Windows --------------------------------------------------------------------------------------------------------


def test_windows_does_not_tell_upper_from_lower_case_in_names_of_variables(tmp_path: Path) -> None:
    system = windows(tmp_path, Path="C:\\x", http_proxy="http://127.0.0.1:1")
    assert system.env("PATH") == system.env("path") == "C:\\x"
    assert system.env("HTTP_PROXY") == "http://127.0.0.1:1"
    linux = System(tmp_path, {"http_proxy": "x"}, platform="linux")
    assert (linux.env("http_proxy"), linux.env("HTTP_PROXY")) == ("x", None)


def test_entries_of_path_may_stand_in_quotes(tmp_path: Path) -> None:
    put(tmp_path, "C/Program Files/tool/uv.exe")
    system = windows(tmp_path, PATH='D:\\none;"C:\\Program Files\\tool"')
    assert system.which("uv") == "C:\\Program Files\\tool\\uv.exe"


def in_place_of_the_real_root(system: System, monkeypatch: pytest.MonkeyPatch) -> System:
    """Interpreters are looked up on the real files; here the fake root stands for them."""
    monkeypatch.setattr(System, "unrooted", lambda self: self)
    return system


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["env/Scripts/pip.exe", "env/Scripts/python.exe"], "C:\\env\\Scripts\\python.exe"),
        (["env/Scripts/pip.exe", "env/python.exe"], "C:\\env\\python.exe"),
        (["env/Scripts/pip.exe"], None),
    ],
)
def test_the_interpreter_behind_pip_exe(
    files: list[str], expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in files:
        put(tmp_path, f"C/{file}")
    system = in_place_of_the_real_root(windows(tmp_path, PATH="C:\\env\\Scripts"), monkeypatch)
    assert interpreter.pip_python(system) == expected


@pytest.mark.parametrize(
    ("told", "machine"), [("ARM64", "arm64"), ("AMD64", "x86_64"), ("x86", "i686"), ("", "x86_64")]
)
def test_the_registry_knows_the_processor_that_emulation_hides(told: str, machine: str, tmp_path: Path) -> None:
    key = "registry/HKLM/SYSTEM/CurrentControlSet/Control/Session Manager/Environment/@values"
    put(tmp_path, key, f"PROCESSOR_ARCHITECTURE={told}\n" if told else "")
    seen, _, _ = host.look(windows(tmp_path))
    assert seen.machine == machine


def test_pip_of_the_same_windows_environment_is_not_another_one() -> None:
    same = recorded(
        "sw_torch_missing",
        host__os="windows",
        python__path="C:\\env\\python.exe",
        python__prefix="C:\\env",
        python__pip_python="C:\\env\\Scripts\\python.exe",
    )
    assert "EC615" not in found(same)


@pytest.mark.parametrize(
    ("data", "legacy", "text"),
    [
        ("驱动程序".encode("gbk"), "gbk", "驱动程序"),
        ("驱动程序".encode(), "gbk", "驱动程序"),
        (b"\xff\xfe" + "驱动".encode("utf-16-le"), "gbk", "驱动"),
        ("驱动".encode("gbk"), None, r"\xc7\xfd\xb6\xaf"),
        (b"\x81", "gbk", "\ufffd"),
    ],
)
def test_bytes_of_a_code_page(data: bytes, legacy: str | None, text: str) -> None:
    assert decode(data, legacy) == text


# macOS ----------------------------------------------------------------------------------------------------------


def test_a_python_that_only_offers_developer_tools_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "usr/bin/python3")
    system = in_place_of_the_real_root(System(tmp_path, {"PATH": "/usr/bin"}, platform="darwin"), monkeypatch)
    monkeypatch.setattr(System, "cwd", lambda _: "/")
    assert interpreter.choose(system, own="/opt/own/bin/python").path == "/opt/own/bin/python"
    (tmp_path / "Library/Developer/CommandLineTools").mkdir(parents=True)
    assert interpreter.choose(system, own="/opt/own/bin/python").path == "/usr/bin/python3"


def test_pips_cache_lies_where_macos_keeps_caches(tmp_path: Path) -> None:
    seen, _, _ = host.look(System(tmp_path, {"HOME": "/Users/somebody"}, platform="darwin"))
    assert {disk.role: disk.path for disk in seen.disks or ()}["cache"] == "/Users/somebody/Library/Caches/pip"


def test_no_other_system_has_apple_silicon() -> None:
    assert _is_apple_silicon() is False
