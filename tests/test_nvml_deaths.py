"""A driver that hangs, crashes, leaves or talks, at every call: the very call is named, earlier facts are kept."""

import signal
import time
from pathlib import Path

import pytest
from fakegpu.machine import FakeMachine

from envcheck.probes import nvidia
from envcheck.probes.nvidia import Handle

SYSTEM_STAGES = [
    "nvmlInit_v2",
    "nvmlSystemGetNVMLVersion",
    "nvmlSystemGetDriverVersion",
    "nvmlDeviceGetCount_v2",
    "nvmlSystemGetCudaDriverVersion_v2",
]
GPU_CALLS = [
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetName",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetComputeMode",
    "nvmlDeviceGetVirtualizationMode",
    "nvmlDeviceGetGpuFabricInfoV",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
]
CUDA_STAGES = ["dlopen(libcuda)", "cuDriverGetVersion"]
STAGES = ["dlopen(libnvidia-ml)", *SYSTEM_STAGES, *(f"{call}(1)" for call in GPU_CALLS), *CUDA_STAGES]
SIGNALS = {"segv": "SIGSEGV", "bus": "SIGBUS", "ill": "SIGILL", "fpe": "SIGFPE", "abort": "SIGABRT", "kill": "SIGKILL"}
HANGS = ("hang", "spin", "stubborn")
BOUND = 20.0


def machine_that(folder: Path, stage: str, action: str) -> FakeMachine:
    return FakeMachine(folder).healthy(2, f"mig=1;migs=1;{stage}={action}")


def stage_as_told(stage: str) -> str:
    """The script speaks of `dlopen(libcuda)`, the observation of the file that was being loaded."""
    if stage.startswith("dlopen"):
        return f"dlopen(/usr/lib/x86_64-linux-gnu/{stage[7:-1]}.so.1)"
    return stage + "/0" if "MigDeviceHandle" in stage else stage


def start_and_wait_for(machine: FakeMachine, stage: str) -> Handle:
    """A look that has come to `stage`, so that what follows does not depend on how busy this machine is."""
    handle = nvidia.start(machine.system(), time.monotonic() + BOUND)
    while True:
        at = (handle.poll() or "").replace(str(machine.root.resolve()), "")
        if at == stage:
            return handle
        assert time.monotonic() < handle.deadline, f"never came to {stage}, but to {at}"
        time.sleep(0.002)


@pytest.mark.parametrize("stage", STAGES)
def test_a_hang_names_the_call_and_ends(tmp_path: Path, stage: str) -> None:
    told = stage_as_told(stage)
    look = "libcuda" if stage in CUDA_STAGES else "nvml"
    machines = [machine_that(tmp_path / action, stage, action) for action in HANGS]
    handles = [start_and_wait_for(machine, told) for machine in machines]
    for machine, handle in zip(machines, handles, strict=True):
        handle.deadline = time.monotonic() + 0.05
        found, observations, _ = handle.finish()  # comes back, or this test never ends
        seen = {one.look: one for one in observations}
        assert (seen[look].state, seen[look].stage) == ("timeout", told)
        assert seen["smi"].state in ("skipped", "absent")
        assert found.driver_versions[0].look == "files"
        assert machine.left_behind() == []


@pytest.mark.parametrize("action", [*SIGNALS, "exit", "exit:3"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_crash_names_the_call_and_the_signal(tmp_path: Path, stage: str, action: str) -> None:
    machine = machine_that(tmp_path, stage, action)
    found, looks, _ = machine.look(BOUND)
    seen = looks["libcuda" if stage in CUDA_STAGES else "nvml"]
    assert seen.state == "crashed"
    assert seen.stage == stage_as_told(stage)
    assert seen.signal == SIGNALS.get(action)
    if action in SIGNALS:
        assert seen.returncode == -signal.Signals[SIGNALS[action]]
    else:
        assert seen.detail == f"left with exit code {seen.returncode} in mid-step"
        assert seen.returncode == (3 if action == "exit:3" else 0)
    kept(found, looks, stage)
    assert machine.left_behind() == []


def kept(found: nvidia.Nvidia, looks: dict[str, nvidia.Observation], stage: str) -> None:
    """What was said before a death stays."""
    if stage in CUDA_STAGES:
        assert looks["nvml"].state == "ok"
        assert [gpu.error for gpu in found.gpus or ()] == [None, None]
        assert [version.look for version in found.cuda_versions] == ["nvml"]
    elif stage.endswith("(1)"):
        assert found.gpus is not None
        assert (found.gpus[0].name, found.gpus[0].error) == ("NVIDIA GeForce RTX 3090", None)
        assert (found.gpus[1].error, found.gpus[1].error_call) == ("CRASHED", stage.partition("(")[0])
        assert looks["libcuda"].state == "skipped"
    elif stage == "nvmlSystemGetCudaDriverVersion_v2":
        assert len(found.gpus or ()) == 2
    else:
        assert found.gpus is None
        assert looks["smi"].state == "absent"


@pytest.mark.parametrize("action", ["noise", "fork", "sleep:30"])
@pytest.mark.parametrize("stage", STAGES)
def test_noise_children_and_slowness_are_harmless(tmp_path: Path, stage: str, action: str) -> None:
    machine = machine_that(tmp_path, stage, action)
    found, looks, messages = machine.look(BOUND)
    assert looks["nvml"].state == looks["libcuda"].state == "ok"
    assert [gpu.error for gpu in found.gpus or ()] == [None, None]
    assert found.statuses == ()
    assert bool(messages) == (action == "noise")
    assert machine.left_behind() == []


def test_what_a_library_prints_is_kept_and_bounded(tmp_path: Path) -> None:
    _, _, messages = FakeMachine(tmp_path).healthy(1, "nvmlInit_v2=noise").look()
    assert [(message.kind, message.look, message.where) for message in messages] == [("log", "nvml", "output")]
    assert "a library that talks" in messages[0].text
    assert len(messages[0].text) <= 4000


def test_a_gpu_behind_the_one_that_crashed_was_not_asked(tmp_path: Path) -> None:
    found, _, _ = FakeMachine(tmp_path).healthy(4, "nvmlDeviceGetName(1)=segv").look()
    assert [gpu.error for gpu in found.gpus or ()] == [None, "CRASHED", "NOT_ASKED", "NOT_ASKED"]


def test_a_crash_before_any_answer_lets_nvidia_smi_speak(tmp_path: Path) -> None:
    row = "0, Tesla T4, GPU-00000000-0000-4000-8000-000000000007, 550.54.15, 15360, 7.5\n"
    found, looks, _ = FakeMachine(tmp_path).healthy(1, "nvmlInit_v2=segv").smi(row).look()
    assert (looks["nvml"].state, looks["smi"].state) == ("crashed", "ok")
    assert [(gpu.name, gpu.look) for gpu in found.gpus or ()] == [("Tesla T4", "smi")]


def test_a_worker_that_cannot_start_is_named(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).healthy(1).env(TMPDIR=f"{tmp_path}/tmp\0broken", HOME="\0", FAKE_GPU="\0")
    _, looks, _ = machine.look()
    assert looks["nvml"].state == "failed"
    assert looks["nvml"].detail
