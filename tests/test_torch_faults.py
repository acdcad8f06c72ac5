"""The look at torch survives whatever its import or its first kernels do, and names where it happened."""

import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import faketorch

from envcheck.cli import finish_tidying
from envcheck.model.facts import Facts, Observation
from envcheck.probes.collect import Options, collect
from envcheck.probes.system import System

LIMIT = 1.2
Look = Callable[..., Facts]


@pytest.fixture
def look(tmp_path: Path, environ: dict[str, str], bare_python: str) -> Look:
    """Look at a fake torch; no process may be left, and the deadline holds."""

    def at(deadline: float = 20.0, **how: Any) -> Facts:
        mark = f"FAKE_{uuid.uuid4().hex}"
        site = faketorch.write(tmp_path / "site", **how) if how else tmp_path
        system = System(environ=environ | {"PYTHONPATH": str(site), "FAKE_MARK": mark, "TMPDIR": str(tmp_path)})
        begun = time.monotonic()
        facts = collect(system, Options(python=bare_python, deadline=deadline))
        assert time.monotonic() - begun < deadline + 0.5
        finish_tidying()
        assert faketorch.left_behind(mark) == []
        assert list(tmp_path.glob("envcheck-*")) == []
        assert facts.python.version is not None
        return facts

    return at


def torch_look(facts: Facts) -> Observation:
    seen = facts.observation("torch")
    assert seen is not None
    return seen


def test_no_torch(look: Look) -> None:
    facts = look()
    assert (facts.torch.installed, facts.torch.imported, torch_look(facts).state) == (False, None, "absent")


@pytest.mark.parametrize("fault", ["ImportError", "OSError", "RuntimeError", "SystemExit", "KeyboardInterrupt"])
def test_import_raises(look: Look, fault: str) -> None:
    facts = look(fault=fault)
    torch, seen = facts.torch, torch_look(facts)
    assert (torch.installed, torch.imported, torch.error_type) == (True, False, fault)
    assert (seen.state, seen.stage) == ("failed", "import")
    assert torch.version == "2.6.0+cu124"
    assert torch.cuda_known
    assert any(said.kind == "error" and said.text.startswith(fault) for said in facts.messages)
    assert "site/torch/__init__.py" in (torch.error_traceback or "")
    assert "script.py" not in (torch.error_traceback or "")


@pytest.mark.parametrize(("fault", "signal"), [("segv", "SIGSEGV"), ("ill", "SIGILL"), ("abort", "SIGABRT")])
@pytest.mark.parametrize("stage", ["import", "kernel cpu", "is_available"])
def test_a_crash_is_named_with_its_stage(look: Look, fault: str, signal: str, stage: str) -> None:
    facts = look(fault=fault, stage=stage)
    seen = torch_look(facts)
    assert (seen.state, seen.signal, seen.stage) == ("crashed", signal, stage)
    assert facts.torch.imported is (None if stage == "import" else True)
    assert "torch/__init__.py" in (facts.torch.error_traceback or "")
    if stage == "kernel cpu":
        assert facts.torch.cpu_kernel_ok is False


@pytest.mark.parametrize(("fault", "code"), [("exit0", 0), ("exit3", 3)])
def test_leaving_in_mid_step_is_a_crash(look: Look, fault: str, code: int) -> None:
    seen = torch_look(look(fault=fault))
    assert (seen.state, seen.signal, seen.returncode, seen.stage) == ("crashed", None, code, "import")


@pytest.mark.parametrize(("fault", "stage"), [("hang", "import"), ("spin", "import"), ("hang", "kernel cuda:1")])
def test_a_hang_ends_at_the_deadline(look: Look, fault: str, stage: str) -> None:
    facts = look(deadline=LIMIT, fault=fault, stage=stage, devices=2)
    seen = torch_look(facts)
    assert (seen.state, seen.stage) == ("timeout", stage)
    assert "torch/__init__.py" in (facts.torch.error_traceback or "")
    if stage != "import":
        assert [device.kernel_ok for device in facts.torch.devices or ()] == [True, None]


def test_ten_megabytes_of_noise_do_no_harm(look: Look) -> None:
    facts = look(fault="flood")
    assert torch_look(facts).state == "ok"
    assert facts.torch.imported
    (noise,) = [said for said in facts.messages if said.kind == "log"]
    assert len(noise.text) < 10_000


def test_noise_without_end(look: Look, tmp_path: Path) -> None:
    seen = torch_look(look(deadline=LIMIT, fault="forever"))
    assert (seen.state, seen.stage) == ("timeout", "import")


@pytest.mark.parametrize("fault", ["grandchild", "daemon"])
def test_grandchildren_do_not_outlive_the_look(look: Look, fault: str) -> None:
    assert torch_look(look(fault=fault)).state == "ok"


@pytest.mark.parametrize("fault", ["grandchild", "daemon"])
def test_grandchildren_of_a_child_that_hangs(look: Look, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(faketorch.FAULTS, "both", faketorch.FAULTS[fault] + "\ntime.sleep(1000)")
    assert torch_look(look(deadline=LIMIT, fault="both")).state == "timeout"


def test_a_slow_import_is_waited_for(look: Look) -> None:
    facts = look(fault="slow")
    assert torch_look(facts).state == "ok"
    assert (facts.torch.import_ms or 0) >= 400


def test_warnings_and_raw_output_are_kept(look: Look, environ: dict[str, str]) -> None:
    environ["PYTHONWARNINGS"] = "ignore"
    facts = look(fault="warn")
    (warning,) = [said for said in facts.messages if said.kind == "warning"]
    assert warning.text == "UserWarning: CUDA initialization: something is odd here"
    assert warning.where == "import"
    facts = look(fault="stderr")
    assert [said.text for said in facts.messages if said.kind == "log"] == [
        "A module compiled using NumPy 1.x cannot be run in NumPy 2.4\\xff"
    ]


def test_a_child_that_loses_its_files_is_a_crash(look: Look) -> None:
    facts = look(fault="close", stage="build")
    seen = torch_look(facts)
    assert seen.state == "crashed"
    assert facts.torch.imported


def test_a_cuda_build_with_devices(look: Look) -> None:
    facts = look(devices=2)
    torch = facts.torch
    assert torch_look(facts).state == "ok"
    assert (torch.version, torch.variant, torch.cuda, torch.cudnn, torch.nccl) == (
        "2.6.0+cu124", "cu124", "12.4", "9.1.0", "2.21.5",
    )  # fmt: skip
    assert torch.arch_list == ("sm_80", "sm_90", "compute_90")
    assert (torch.cuda_available, torch.device_count, torch.cpu_kernel_ok, torch.threads) == (True, 2, True, 2)
    assert [(d.kind, d.index, d.name, d.compute_capability, d.kernel_ok) for d in torch.devices or ()] == [
        ("cuda", 0, "NVIDIA A100", "8.0", True),
        ("cuda", 1, "NVIDIA A100", "8.0", True),
    ]
    assert torch.cpu_capability == "AVX2"


def test_a_rocm_build_names_its_architecture(look: Look) -> None:
    torch = look(devices=1, version="2.6.0+rocm6.2.4", build={"hip": "6.2.41134", "cuda": None}).torch
    assert torch.variant == "rocm6.2.4"
    assert [(d.kind, d.gfx, d.compute_capability) for d in torch.devices or ()] == [("rocm", "gfx90a", None)]
    assert torch.cudnn is None


def test_a_cuda_build_without_driver_says_why(look: Look) -> None:
    torch = look(devices=0).torch
    assert (torch.cuda_available, torch.device_count, torch.devices) == (False, 0, ())
    assert torch.available_error == "Found no NVIDIA driver on your system."


@pytest.mark.parametrize("stage", ["build", "is_available", "device_count"])
def test_an_error_of_an_essential_step_is_a_failed_look(look: Look, stage: str) -> None:
    facts = look(fault="RuntimeError", stage=stage, devices=1)
    seen = torch_look(facts)
    assert (seen.state, seen.stage) == ("failed", stage)
    assert "no kernel image" in (seen.detail or "")
    assert facts.torch.imported


@pytest.mark.parametrize("stage", ["init", "cudnn", "nccl", "cpu", "device cuda:0"])
def test_an_error_of_another_step_is_a_message(look: Look, stage: str) -> None:
    facts = look(fault="RuntimeError", stage=stage, devices=0 if stage == "init" else 1)
    assert torch_look(facts).state == "ok"
    assert [said.where for said in facts.messages if said.kind == "error"] == [stage]


def test_a_device_whose_kernel_fails(look: Look) -> None:
    facts = look(fault="RuntimeError", stage="kernel cuda:1", devices=3)
    assert [device.kernel_ok for device in facts.torch.devices or ()] == [True, False, True]
    assert "no kernel image" in ((facts.torch.devices or ())[1].kernel_error or "")


def test_wrong_numbers_are_no_kernel(look: Look) -> None:
    torch = look(wrong=True, devices=1).torch
    assert torch.cpu_kernel_ok is False
    (device,) = torch.devices or ()
    assert device.kernel_ok is False
    assert (device.kernel_error or "").startswith("wrong numbers")


def test_a_torch_that_is_no_torch(look: Look, tmp_path: Path, environ: dict[str, str]) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = object()\nversion = 7\ncuda = None\n")
    facts = look()
    seen = torch_look(facts)
    assert facts.torch.imported
    assert (seen.state, seen.stage) == ("failed", "is_available")
    assert facts.torch.cpu_kernel_ok is False


def test_the_real_torch() -> None:
    facts = collect(System(), Options(python=sys.executable, deadline=60))
    assert torch_look(facts).state == "ok"
    assert facts.torch.imported
    assert facts.torch.cpu_kernel_ok
    assert facts.torch.cuda_known
    assert facts.torch.mapped_libraries
