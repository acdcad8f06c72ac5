"""The settings that pip, uv and conda would use, from real files below a fake root."""

import os
from pathlib import Path

import pytest

from envcheck.model.facts import Python, Setting, Tool
from envcheck.probes.settings import look
from envcheck.probes.system import System

HOME = {"HOME": "/home/u"}


def machine(
    root: Path, files: dict[str, str | bytes], environ: dict[str, str] | None = None, platform: str = "linux"
) -> System:
    for name, content in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return System(root, HOME | (environ or {}), platform)


def rows(
    system: System, tool: str, python: Python | None = None, project: str | None = None
) -> list[tuple[str, str, str, bool | None]]:
    settings = look(system, python or Python(), project)[0]
    return [(row.key, row.value, row.origin, row.effective) for row in settings if row.tool == tool]


def force(settings: tuple[Setting, ...], tool: str, key: str) -> list[str]:
    return [row.value for row in settings if row.tool == tool and row.key == key and row.effective]


def test_nothing_configured(tmp_path: Path) -> None:
    settings, tools, (seen,) = look(System(tmp_path, {}, "linux"), Python())
    assert (settings, tools, seen.look, seen.state, seen.detail) == ((), (), "settings", "ok", None)


def test_pip_precedence(tmp_path: Path) -> None:
    files = {
        "/etc/xdg/pip/pip.conf": "[install]\nindex-url = https://global/simple\nproxy = http://bob:pw@corp:3128\n",
        "/home/u/.pip/pip.conf": "[global]\nindex-url = https://legacy/simple\n",
        "/home/u/.config/pip/pip.conf": "[global]\nindex-url = https://user/simple\nretries = 9\n[list]\npre = 1\n",
        "/venv/pip.conf": "[global]\nextra-index-url = https://a/simple\n  https://b/simple\n",
    }
    found = rows(machine(tmp_path, files), "pip", Python(prefix="/venv"))
    assert found == [
        ("index-url", "https://legacy/simple", "/home/u/.pip/pip.conf:2", False),
        ("index-url", "https://user/simple", "/home/u/.config/pip/pip.conf:2", False),
        ("extra-index-url", "https://a/simple", "/venv/pip.conf:2", True),
        ("extra-index-url", "https://b/simple", "/venv/pip.conf:2", True),
        # [install] beats [global] whatever file it stands in
        ("index-url", "https://global/simple", "/etc/xdg/pip/pip.conf:2", True),
        ("proxy", "http://corp:3128", "/etc/xdg/pip/pip.conf:3", True),
    ]


def test_pip_variables_win_and_empty_ones_do_not_count(tmp_path: Path) -> None:
    files = {"/home/u/.config/pip/pip.conf": "[install]\nindex-url = https://user/simple\nno-index = 1\n"}
    environ = {"PIP_INDEX_URL": "https://me:tok@env/simple", "PIP_NO_INDEX": ""}
    settings = look(machine(tmp_path, files, environ), Python())[0]
    assert force(settings, "pip", "index-url") == ["https://env/simple"]
    assert force(settings, "pip", "no-index") == ["1"]


def test_pip_config_file_replaces_the_users(tmp_path: Path) -> None:
    files = {
        "/home/u/.config/pip/pip.conf": "[global]\nindex-url = u\n",
        "/etc/pip.conf": "[global]\nindex-url = g\n",
        "/my.conf": "[global]\nindex-url = m\n",
    }
    found = rows(machine(tmp_path, files, {"PIP_CONFIG_FILE": "/my.conf"}), "pip")
    assert [(value, where) for _, value, where, _ in found] == [("g", "/etc/pip.conf:2"), ("m", "/my.conf:2")]
    assert rows(machine(tmp_path, files, {"PIP_CONFIG_FILE": "/dev/null"}), "pip") == []


def test_pip_on_windows_and_macos(tmp_path: Path) -> None:
    files = {
        "C/Users/u/AppData/Roaming/pip/pip.ini": "[global]\nindex-url = w\n",
        "/Users/u/Library/Application Support/pip/pip.conf": "[global]\nindex-url = m\n",
    }
    windows = System(
        machine(tmp_path, files).root,
        {"USERPROFILE": "C:\\Users\\u", "APPDATA": "C:\\Users\\u\\AppData\\Roaming"},
        "win32",
    )
    assert rows(windows, "pip")[0][:3] == ("index-url", "w", "C:\\Users\\u\\AppData\\Roaming\\pip\\pip.ini:2")
    macos = System(tmp_path, {"HOME": "/Users/u"}, "darwin")
    assert rows(macos, "pip")[0][1] == "m"


UV_TOML = """\
[[index]]
name = "tuna"
url = "https://u:p@user/simple"
default = true

[[index]]
url = "https://two/whl"
explicit = true
"""
PYPROJECT = """\
[tool.uv]
index = [{url = "https://proj/whl"}]
[tool.uv.sources]
torch = {index = "pt"}
[tool.other]
index-url = "no"
"""


def test_uv_files_and_variables(tmp_path: Path) -> None:
    files = {
        "/etc/uv/uv.toml": 'index-url = "https://sys/simple"\n',
        "/home/u/.config/uv/uv.toml": UV_TOML,
        "/p/pyproject.toml": PYPROJECT,
        "/p/sub/pyproject.toml": "[project]\nname = 'x'\n",
    }
    environ = {"UV_TORCH_BACKEND": "cu126", "UV_INDEX": "pt=https://e1/whl https://e2/whl"}
    assert rows(machine(tmp_path, files, environ), "uv", project="/p/sub") == [
        ("default-index", "https://sys/simple", "/etc/uv/uv.toml:1", False),
        ("default-index", "https://user/simple", "/home/u/.config/uv/uv.toml:3", True),
        ("explicit-index", "https://two/whl", "/home/u/.config/uv/uv.toml:7", True),
        ("index", "https://proj/whl", "/p/pyproject.toml:2", True),
        ("sources.torch", "pt", "/p/pyproject.toml:4", True),
        ("index", "https://e1/whl", "UV_INDEX", True),
        ("index", "https://e2/whl", "UV_INDEX", True),
        ("torch-backend", "cu126", "UV_TORCH_BACKEND", True),
    ]


def test_uv_own_file_and_no_config(tmp_path: Path) -> None:
    files = {"/home/u/.config/uv/uv.toml": 'index-url = "a"\n', "/own.toml": 'index-url = "b"\n'}
    assert [row[1] for row in rows(machine(tmp_path, files, {"UV_CONFIG_FILE": "/own.toml"}), "uv")] == ["b"]
    assert rows(machine(tmp_path, files, {"UV_NO_CONFIG": "1"}), "uv") == []


CONDARC = """\
channels:
  - https://mirrors.tuna.tsinghua.edu.cn/anaconda/pkgs/free/   # old
  - defaults
custom_channels:
  pytorch: https://conda.example/t/se-cret-1/cloud
proxy_servers:
  https: http://bob:pw@proxy:8080
ssl_verify: false
show_channel_urls: true
"""


def test_conda_search_path(tmp_path: Path) -> None:
    files = {
        "/opt/conda/.condarc": "channels: [defaults]\nssl_verify: true\n",
        "/opt/conda/bin/conda": "",
        "/opt/conda/condarc.d/10.yaml": "channel_alias: https://alias\n",
        "/opt/conda/condarc.d/readme.txt": "channel_alias: no\n",
        "/home/u/.condarc": CONDARC,
        "/env/.condarc": "custom_channels: {pytorch: https://env/cloud}\n",
        "/home/u/.mambarc": "channels: [mm]\n",
    }
    system = machine(tmp_path, files, {"CONDA_EXE": "/opt/conda/bin/conda", "CONDA_CHANNELS": "x,y"})
    assert rows(system, "conda", Python(prefix="/env", kind="conda")) == [
        ("channels", "defaults", "/opt/conda/.condarc:1", True),
        ("ssl_verify", "true", "/opt/conda/.condarc:2", False),
        ("channel_alias", "https://alias", "/opt/conda/condarc.d/10.yaml:1", True),
        ("channels", "https://mirrors.tuna.tsinghua.edu.cn/anaconda/pkgs/free/", "/home/u/.condarc:2", True),
        ("channels", "defaults", "/home/u/.condarc:3", True),
        ("custom_channels.pytorch", "https://conda.example/t/****/cloud", "/home/u/.condarc:5", False),
        ("proxy_servers.https", "http://proxy:8080", "/home/u/.condarc:7", True),
        ("ssl_verify", "false", "/home/u/.condarc:8", True),
        ("custom_channels.pytorch", "https://env/cloud", "/env/.condarc:1", True),
        ("channels", "x", "CONDA_CHANNELS", True),
        ("channels", "y", "CONDA_CHANNELS", True),
    ]
    assert rows(system, "mamba") == [("channels", "mm", "/home/u/.mambarc:1", True)]


BAD = {
    "binary": b"\x7fELF\0\1\2" * 50,
    "utf16": "[global]\nindex-url = x\n".encode("utf-16"),
    "latin1": b"[global]\nindex-url = http://h\xe9te\n",
    "huge": b"[global]\n" + b"#" * (10 << 20),
    "yaml-tabs": b"channels:\n\t- a\n",
    "toml-half": b"[[index]\nurl [[",
    "deep": b"{" * 100_000,
}
PLACES = ("/home/u/.config/pip/pip.conf", "/home/u/.config/uv/uv.toml", "/home/u/.condarc")


@pytest.mark.parametrize("kind", [*BAD, "directory", "loop", "dangling", "fifo", "EACCES", "EIO"])
@pytest.mark.parametrize("place", PLACES)
def test_bad_file_is_a_note(tmp_path: Path, place: str, kind: str) -> None:
    system = machine(tmp_path, {place: BAD.get(kind, b"")})
    path = tmp_path / place.lstrip("/")
    if kind in ("directory", "loop", "dangling", "fifo"):
        path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind in ("loop", "dangling"):
        path.symlink_to(path if kind == "loop" else tmp_path / "gone")
    elif kind.startswith("E"):
        system = _Failing(system.root, system.environ, place, kind)
    settings, _, (seen,) = look(system, Python())
    assert seen.state == "ok"
    if kind in ("dangling", "fifo"):  # nothing there; a pipe nobody writes to is empty
        assert settings == ()
        return
    assert place in (seen.detail or "")
    errors = [row for row in settings if row.key == "error"]
    assert all(row.origin == place for row in errors)
    assert bool(errors) is (kind not in ("huge", "directory", "loop", "EACCES", "EIO"))


class _Failing(System):
    def __init__(self, root: Path, environ: object, place: str, error: str) -> None:
        super().__init__(root, HOME, "linux")
        self._failing, self._error = place, error

    def read_bytes(self, path: str, cap: int = 65536) -> tuple[bytes | None, str | None]:
        return (None, self._error) if path == self._failing else super().read_bytes(path, cap)


def test_tools_and_toolkits(tmp_path: Path) -> None:
    files = {
        "/usr/local/cuda-12.4/bin/nvcc": "#!/bin/sh\nexit 99\n",
        "/usr/local/cuda-12.4/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.4.1"}}',
        "/opt/cuda10/version.txt": "CUDA Version 10.2.89\n",
        "/broken/version.json": '{"cuda": []}',
        "/opt/conda/bin/conda": "#!/bin/sh\nexit 99\n",
        "/opt/conda/conda-meta/conda-libmamba-solver-24.1.0-pyhd8ed1ab_0.json": "{}",
        "/opt/conda/conda-meta/conda-26.7.1-py312_0.json": "{}",
    }
    path = "/usr/local/cuda-12.4/bin:/opt/conda/bin"
    system = machine(tmp_path, files, {"PATH": path, "CUDA_HOME": "/opt/cuda10/", "CUDA_PATH": "/broken"})
    for name in ("usr/local/cuda-12.4/bin/nvcc", "opt/conda/bin/conda"):
        (tmp_path / name).chmod(0o755)
    assert look(system, Python())[1] == (
        Tool(name="conda", path="/opt/conda/bin/conda", version="26.7.1"),
        Tool(name="nvcc", path="/usr/local/cuda-12.4/bin/nvcc", version="12.4.1"),
        Tool(name="cuda-toolkit", path="/usr/local/cuda-12.4", version="12.4.1"),
        Tool(name="cuda-toolkit", path="/opt/cuda10", version="10.2.89"),
    )


CANARY = "c4nary"
LEAKS = {
    "/home/u/.config/pip/pip.conf": (
        "[global]\nindex-url = https://u:c4nary@h/simple\nextra-index-url = https://c4nary@h/s https://u:c4nary\n"
        "proxy = u:c4nary@h:1\ntrusted-host = u:c4nary@h\nhttps://u:c4nary@h = 1\nhttps://u:c4nary@h = 2\n"
        "[https://u:c4nary@h]\n[https://u:c4nary@h]\nfind-links = https://h/x?token=c4nary\npassword = c4nary\n"
    ),
    "/home/u/.config/uv/uv.toml": (
        'index-url = "https://u:c4nary@h/simple"\nfind-links = ["https://h/#c4nary"]\nhttps-proxy = "http://u:c4nary@h"\n'
        '[[index]]\nurl = "https://c4nary@h"\nexplicit = true\n[pip]\nextra-index-url = ["https://u:p/c4nary@h"]\n'
    ),
    "/home/u/.condarc": (
        "channels: ['https://h/t/c4nary/c', 'https://u:c4nary@h/c']\nproxy_servers:\n  http: u:c4nary@h:1\n"
        "  https://u:c4nary@h: x\n  https://u:c4nary@h: y\nanaconda_token: c4nary\nchannel_alias: https://u:c4nary@h\n"
    ),
}


def test_no_secret_is_kept(tmp_path: Path) -> None:
    environ = {
        "PIP_INDEX_URL": "https://u:c4nary@h/s",
        "UV_INDEX": "n=https://u:c4nary@h",
        "CONDA_CHANNELS": "https://u:c4nary@h",
    }
    seen = look(machine(tmp_path, LEAKS, environ), Python())
    assert len(seen[0]) > 15
    assert CANARY not in repr(seen)
