"""`envcheck install`, with real installers against loopback indexes: shown, asked, run, verified, interrupted."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from envcheck.commands.installing import trouble_with
from envcheck.model.codec import encode
from envcheck.model.facts import Facts, Gpu, Host, Nvidia, Python, Sighting, Torch, TorchDevice
from envcheck.model.plan import Build
from envcheck.probes.follow import follow
from tests.helpers import faketorch
from tests.helpers.cli import Result, invoke
from tests.helpers.web import Handler, Site, closed_port, serve
from tests.helpers.wheelhouse import Packed, Wheel, index

SCRIPTS = str(Path(sys.executable).parent)
MIRROR = """
name = "{name}"
title = "The loopback mirror"
[pypi]
url = "{site}/simple"
index = "pep503"
status = "live"
confidence = "A"
date = "2026-11-25"
source = "a test"
[torch_wheels]
url = "{site}/whl/{{variant}}"
index = "pep503"
status = "live"
confidence = "A"
date = "2026-11-25"
source = "a test"
"""
ELSEWHERE = ("--os", "linux", "--arch", "x86_64", "--python-version", "3.12", "--glibc", "2.35")


def serve_torch(folder: Path, **behaviour: object) -> dict[str, object]:
    """An index whose torch 2.14.1+cpu behaves as told: the newest that serves every Python which runs the tests."""
    faketorch.write(folder, version="2.14.1+cpu", build={"cuda": None}, **behaviour)
    wheels = [Packed("torch", "2.14.1+cpu", str(folder)), Wheel("torchvision", "0.29.1+cpu", "loopback")]
    return {**index("/whl/cpu", wheels), **index("/simple", [Wheel("numpy", "2.1.0", "loopback")])}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serve(serve_torch(tmp_path / "wheel")) as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, environ: dict[str, str]) -> dict[str, str]:
    """An environment that knows the loopback mirrors and has uv; no proxy, no setting of this machine counts."""
    folder = tmp_path / "mirrors"
    folder.mkdir()
    told = {
        "ENVCHECK_MIRRORS": str(folder),
        "UV_NO_CACHE": "1",
        "UV_NO_SYSTEM_CONFIG": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }
    return {**environ, "PATH": f"{SCRIPTS}:{environ['PATH']}", **told}


def mirror(here: dict[str, str], site: Site, name: str = "loop") -> None:
    text = MIRROR.format(name=name, site=site.url(""))
    Path(here["ENVCHECK_MIRRORS"], f"{name}.toml").write_text(text, encoding="utf-8")


def install(here: dict[str, str], python: str, *words: str) -> Result:
    return invoke("install", "--python", python, "--variant", "cpu", "--torch", "2.14", *words, environ=here)


def site_packages(python: str) -> Path:
    return Path(python).parents[1] / faketorch.SITE


@pytest.fixture
def fresh(tmp_path: Path) -> str:
    """The interpreter of a virtual environment of this test alone, without pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True, timeout=100)
    return str(tmp_path / "venv/bin/python")


# --- shown --------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_and_runs_nothing(here: dict[str, str], bare_python: str, site: Site) -> None:
    mirror(here, site)
    shown = install(here, bare_python, "--dry-run", "--mirror", "loop")
    assert shown.code == 0
    command = next(line for line in shown.out.splitlines() if "uv pip install" in line)
    assert command.strip().startswith(
        f"uv pip install --python {bare_python} torch==2.14.1+cpu torchvision==0.29.1+cpu --index "
    )
    assert site.asked == []


def test_without_a_terminal_nothing_is_run(here: dict[str, str], bare_python: str, site: Site) -> None:
    mirror(here, site)
    assert install(here, bare_python, "--mirror", "loop").code == 0
    assert site.asked == []


def test_json_holds_the_plan_the_steps_and_every_reason(here: dict[str, str]) -> None:
    shown = invoke("install", *ELSEWHERE, "--driver", "465.19", "--gpu", "RTX 3060", "--format", "json", environ=here)
    document = json.loads(shown.out)
    assert shown.code == 0
    assert document["schema"] == 1
    assert document["build"]["torch"] == "2.7.1"
    assert document["steps"][0]["argv"][:4] == ["python", "-m", "pip", "install"]
    assert all(one["reason"] and one["rule"] for one in document["rejected"])
    assert len(document["rejected"]) > 500


def test_no_build_is_a_finding_with_a_way_out(here: dict[str, str]) -> None:
    shown = invoke("install", *ELSEWHERE, "--driver", "340.108", "--gpu", "8.6", environ=here)
    assert shown.code == 1
    assert "No build of PyTorch is right here." in shown.out
    assert "driver 450.80.02 or newer would allow" in shown.out
    assert "pip install" not in shown.out


def test_verbose_names_the_other_builds(here: dict[str, str]) -> None:
    shown = invoke("install", *ELSEWHERE, "--driver", "580.95.05", "--gpu", "GTX 1080", "-v", environ=here)
    assert "2.15.0+cu130: no kernels for 6.1 (GTX 1080)" in " ".join(shown.out.split())


def test_chinese_is_spoken_and_commands_stay_as_they_are(here: dict[str, str]) -> None:
    shown = invoke("install", *ELSEWHERE, "--driver", "580.95.05", "--gpu", "8.6", "--lang", "zh", environ=here)
    assert "显卡" in shown.out or "驱动" in shown.out
    assert "python -m pip install torch==2.15.0+cu130" in shown.out


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("requirements", "torch==2.15.0+cu130"),
        ("pyproject", "explicit = true"),
        ("environment", "  - pytorch-gpu=2.13.0"),
        ("pixi", 'pytorch-gpu = "2.13.0.*"'),
        ("dockerfile", "FROM python:3.12-slim"),
    ],
)
def test_pieces_of_files_go_to_standard_output_alone(here: dict[str, str], form: str, line: str) -> None:
    shown = invoke("install", *ELSEWHERE, "--driver", "580.95.05", "--gpu", "8.6", "--print", form, environ=here)
    assert shown.code == 0
    assert line in shown.out.splitlines()
    assert "the newest release" not in shown.out
    assert "the newest release" in shown.err


@pytest.mark.parametrize("shell", ["sh", "cmd", "powershell"])
def test_commands_are_quoted_for_the_shell(here: dict[str, str], shell: str) -> None:
    asked = ("install", *ELSEWHERE, "--driver", "580.95.05", "--gpu", "8.6", "--with", "conda", "--shell", shell)
    shown = invoke(*asked, environ=here)
    starts = {"sh": "CONDA_OVERRIDE_CUDA=13.0 conda", "cmd": 'set "CONDA', "powershell": "$Env:CONDA"}
    assert any(line.strip().startswith(starts[shell]) for line in shown.out.splitlines())


def snapshot() -> Facts:
    return Facts(
        host=Host(os="linux", machine="x86_64", libc="glibc", libc_version="2.35"),
        python=Python(path="/home/ada/env/bin/python", version="3.12.1", implementation="CPython", bits=64),
        nvidia=Nvidia(
            driver_versions=(Sighting(value="535.183.01", look="nvml"),), gpus=(Gpu(index=0, compute_capability="6.1"),)
        ),
    )


def test_a_snapshot_is_planned_for(here: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "snapshot.json"
    file.write_bytes(encode(snapshot()))
    shown = invoke("install", "--facts", file, environ=here)
    assert shown.code == 0
    assert "torch 2.14.1 (cu126)" in shown.out
    newer = invoke("install", "--facts", file, "--gpu", "8.6", "--driver", "580.95.05", environ=here)
    assert "torch 2.15.0 (cu130)" in newer.out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--yes", "--driver", "580"), "--yes installs here"),
        (("--facts", "x.json", "--python", "python"), "--facts reads a file"),
        (("--facts", "no-such-file"), "cannot read"),
        (("--yes", "--print", "requirements"), "--print writes a piece"),
        (("--mirror", "tunna", *ELSEWHERE, "--gpu", "8.6", "--driver", "580"), "there is no mirror tunna"),
        (("--gpu", "Quux 9000", *ELSEWHERE), "compute capability of Quux 9000 is not known"),
        (("--variant", "cu127", *ELSEWHERE), "there is no variant cu127"),
        (("torch >> 2", *ELSEWHERE), "cannot read the requirement"),
        (("--os", "windows", "--arch", "x86_64", "--python-version", "3.12", "--gpu", "8.6", "--driver", "580.88",
          "--print", "dockerfile"), "a Dockerfile needs a plan for Linux"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_2(here: dict[str, str], words: tuple[str, ...], line: str) -> None:
    shown = invoke("install", *words, environ=here)
    assert shown.code == 2
    assert line in shown.err
    assert "Traceback" not in shown.err
    assert len(shown.err.splitlines()) <= 2


# --- run ----------------------------------------------------------------------------------------------------------


def test_yes_installs_and_verifies(here: dict[str, str], fresh: str, site: Site) -> None:
    mirror(here, site)
    done = install(here, fresh, "--yes", "--mirror", "loop")
    assert done.code == 0, done.err
    assert "torch 2.14.1+cpu works" in done.out
    assert (site_packages(fresh) / "torch-2.14.1+cpu.dist-info").is_dir()


def test_pip_installs_too_when_it_is_there(here: dict[str, str], tmp_path: Path, site: Site) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=100)
    mirror(here, site)
    done = install(here, str(tmp_path / "venv/bin/python"), "--yes", "--mirror", "loop")
    assert done.code == 0, done.err
    assert "Successfully installed torch-2.14.1+cpu" in done.out


def test_a_torch_that_does_not_import_is_not_called_done(here: dict[str, str], fresh: str, tmp_path: Path) -> None:
    with serve(serve_torch(tmp_path / "broken", fault="OSError")) as site:
        mirror(here, site)
        done = install(here, fresh, "--yes", "--mirror", "loop")
    assert done.code == 4
    assert "torch cannot be imported" in done.err
    assert "undefined symbol" in done.err


def test_a_missing_wheel_is_explained(here: dict[str, str], fresh: str) -> None:
    with serve(index("/whl/cpu", [Wheel("torch", "2.9.0+cpu", "x")])) as site:
        mirror(here, site)
        done = install(here, fresh, "--yes", "--mirror", "loop")
    assert done.code == 4
    assert "The step failed" in done.err
    assert "EC6" in done.err


def test_a_dead_proxy_is_told_before_the_download(here: dict[str, str], fresh: str, site: Site) -> None:
    mirror(here, site)
    dead = {"http_proxy": f"http://127.0.0.1:{closed_port()}", "https_proxy": f"http://127.0.0.1:{closed_port()}"}
    done = install({**here, **dead}, fresh, "--yes", "--mirror", "loop")
    assert done.code == 4
    head, _, _ = done.err.partition("The step failed")
    assert "127.0.0.1" in head


def test_a_manager_that_is_not_there(here: dict[str, str], fresh: str, site: Site) -> None:
    mirror(here, site)
    done = invoke("install", "--python", fresh, "--variant", "cpu", "--with", "poetry", "--yes", environ=here)
    assert done.code == 4
    assert "poetry is not installed here" in done.err


def test_auto_takes_the_mirror_that_truly_serves_the_wheel(
    here: dict[str, str], bare_python: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envcheck.catalogue.mirrors._shipped", dict)
    with serve({}) as empty:
        mirror(here, empty, "empty")
        mirror(here, site, "loop")
        wheel = next(path for path in site.pages if path.endswith(".whl") and "torch-2.14.1" in path)
        tagged = wheel.replace("py3-none-any", f"cp{sys.version_info[0]}{sys.version_info[1]}-none-linux_x86_64")
        site.pages["/whl/cpu/torch/"] = site.pages["/whl/cpu/torch/"]._replace(
            body=f'<a href="{tagged}">x</a>'.encode()
        )
        site.pages[tagged] = site.pages[wheel]
        shown = install(here, bare_python, "--dry-run", "--mirror", "auto")
    assert shown.code == 0, shown.err
    assert site.url("/whl/cpu") in shown.out
    assert "empty: does not list torch 2.14.1 cpu" in shown.err
    assert "loop:" in shown.err


HALF = """#!/bin/sh
[ "$2" = install ] || exec {uv} "$@"
mkdir -p {site}/torch {info}
printf 'Metadata-Version: 2.1\\nName: torch\\nVersion: 2.14.1+cpu\\n' > {info}/METADATA
printf 'torch/__init__.py,,\\ntorch/big.py,,\\ntorch-2.14.1+cpu.dist-info/METADATA,,\\n' > {info}/RECORD
printf 'torch-2.14.1+cpu.dist-info/RECORD,,\\n' >> {info}/RECORD
echo > {site}/torch/__init__.py
echo 'error: Failed to install: No space left on device (os error 28)' >&2
exit 2
"""


def test_half_a_torch_is_taken_away_again(here: dict[str, str], fresh: str, site: Site, tmp_path: Path) -> None:
    """What uv does on a full disk: the package counts as installed, and most of its files are not there."""
    folder = site_packages(fresh)
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    info = folder / "torch-2.14.1+cpu.dist-info"
    program.write_text(HALF.format(uv=f"{SCRIPTS}/uv", site=folder, info=info), encoding="utf-8")
    program.chmod(0o755)
    mirror(here, site)
    done = install({**here, "PATH": f"{program.parent}:{here['PATH']}"}, fresh, "--yes", "--mirror", "loop")
    assert done.code == 4
    assert "EC638" in done.err
    assert "Taken away again, for they may be incomplete: torch 2.14.1+cpu" in done.err
    assert not list(folder.glob("torch*"))


# --- interrupted --------------------------------------------------------------------------------------------------


def test_control_c_leaves_nothing_half_done(here: dict[str, str], fresh: str, site: Site) -> None:
    """The wheel comes and comes; the interrupt reaches the installer, and exit 130 says so."""
    wheel = next(path for path in site.pages if path.endswith(".whl") and "torch-2" in path)
    asked, over = threading.Event(), threading.Event()

    def forever(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000000")
        handler.end_headers()
        handler.wfile.write(b"PK\x03\x04")
        asked.set()
        over.wait(60)

    site.pages[wheel] = forever
    mirror(here, site)
    words = ["install", "--yes", "--python", fresh, "--variant", "cpu", "--torch", "2.14", "--mirror", "loop"]
    process = subprocess.Popen(
        [sys.executable, "-m", "envcheck", *words],
        env={**here, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert asked.wait(60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    over.set()
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not list(site_packages(fresh).glob("torch*"))


def test_an_interrupt_is_passed_on_and_the_program_may_tidy_up(tmp_path: Path) -> None:
    script = "import signal, sys, time\ndef tidy(*_):\n    open('tidied', 'w').close()\n    sys.exit(1)\n"
    script += "signal.signal(signal.SIGINT, tidy)\nprint('ready', flush=True)\n"
    script += (
        "for _ in range(600):\n    time.sleep(0.1)\n"  # a signal just before one long sleep would be heard after it
    )

    def heard(line: str) -> None:
        if line == "ready":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        follow([sys.executable, "-c", script], os.environ, str(tmp_path), heard)
    assert (tmp_path / "tidied").exists()


def test_lines_are_heard_as_they_come_and_bars_by_their_last_state(tmp_path: Path) -> None:
    lines: list[str] = []
    script = r"import os; os.write(1, b'one\n1%\r50%\r100%\n'); os.write(2, b'two\r\n'); os.write(1, b'\xff\xe4\xb8')"
    ran = follow([sys.executable, "-c", script], os.environ, str(tmp_path), lines.append)
    assert lines == ["one", "100%", "two", "\N{REPLACEMENT CHARACTER}"]
    assert (ran.state, ran.stdout) == ("ok", "\n".join(lines))


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    assert follow([str(tmp_path / "nothing")], {}, str(tmp_path), print).state == "absent"


# --- the second look ----------------------------------------------------------------------------------------------


def planned(variant: str = "cu126", cuda: str | None = "12.6") -> Build:
    return Build(torch="2.14.1", variant=variant, os="linux", machine="x86_64", pythons=("3.12",), cuda=cuda)


def device(kernel_ok: bool | None) -> TorchDevice:
    return TorchDevice(kind="cuda", index=0, name="RTX 3060", kernel_ok=kernel_ok, kernel_error="no kernel image")


GOOD = {"imported": True, "version": "2.14.1+cu126", "cuda": "12.6", "cuda_available": True}


@pytest.mark.parametrize(
    ("torch", "words"),
    [
        (Torch(**GOOD, devices=(device(True),)), None),
        (Torch(**{**GOOD, "version": "2.13.0+cu126"}), "torch 2.13.0+cu126 is there instead of 2.14.1"),
        (Torch(**{**GOOD, "cuda": None}), "a build without CUDA was installed"),
        (Torch(**{**GOOD, "cuda_available": False}, available_error="no driver"), "is_available() is False: no driver"),
        (Torch(**GOOD, devices=(device(False),)), "a first kernel on RTX 3060 failed: no kernel image"),
        (Torch(imported=False, error_text="a\nlast line"), "cannot be imported: last line"),
        (Torch(imported=False), "cannot be imported: ?"),
    ],
)
def test_what_the_second_look_finds(torch: Torch, words: str | None) -> None:
    trouble = trouble_with(torch, planned())
    assert (trouble is None) == (words is None)
    assert words is None or (trouble is not None and words in trouble.english())


def test_a_cpu_build_must_compute_once() -> None:
    torch = Torch(imported=True, version="2.14.1+cpu", cpu_kernel_ok=False)
    assert trouble_with(torch, planned("cpu", None)) is not None
