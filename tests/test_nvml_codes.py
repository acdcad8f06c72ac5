"""Every return code of NVML at every call that the worker makes ends in a named state.

A call for a GPU is tried with all codes at once, a GPU each; a call for the system needs a process for each code.
"""

from pathlib import Path

import pytest
from fakegpu.machine import FakeMachine

from envcheck.probes.returncodes import CUDA_CODES, NVML_CODES, nvml_name

CODES = [*range(1, 31), 999]
SYSTEM_CALLS = [
    "nvmlInit_v2",
    "nvmlSystemGetNVMLVersion",
    "nvmlSystemGetDriverVersion",
    "nvmlDeviceGetCount_v2",
    "nvmlSystemGetCudaDriverVersion_v2",
    "cuDriverGetVersion",
]
ESSENTIAL_CALLS = [
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetName",
    "nvmlDeviceGetCudaComputeCapability",
]
SPECIAL_CALLS = [
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetComputeMode",
    "nvmlDeviceGetVirtualizationMode",
    "nvmlDeviceGetGpuFabricInfoV",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMaxMigDeviceCount",
]
QUIET = {3, 13, 25}
"""Not supported, no such function, other version of a structure: what a plain GPU or an older driver says."""
FIELD = {
    "nvmlDeviceGetName": "name",
    "nvmlDeviceGetUUID": "uuid",
    "nvmlDeviceGetPciInfo_v3": "pci_address",
    "nvmlDeviceGetMemoryInfo_v2": "memory_bytes",
    "nvmlDeviceGetCudaComputeCapability": "compute_capability",
    "nvmlDeviceGetComputeMode": "compute_mode",
    "nvmlDeviceGetVirtualizationMode": "virtual",
    "nvmlDeviceGetMigMode": "mig_enabled",
}


def test_the_table_has_every_code_of_nvml_by_a_name_of_its_own() -> None:
    assert sorted(NVML_CODES) == CODES
    assert len({name for name, _ in NVML_CODES.values()}) == len(CODES)
    assert nvml_name(555) == "RETURN_555"


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("call", SYSTEM_CALLS)
def test_a_call_for_the_system_that_fails_is_named(tmp_path: Path, call: str, code: int) -> None:
    machine = FakeMachine(tmp_path).healthy(2, f"{call}={code}")
    nvidia, looks, _ = machine.look()
    nvml, libcuda = looks["nvml"], looks["libcuda"]
    statuses = [(status.call, status.code, status.name) for status in nvidia.statuses]
    if call == "cuDriverGetVersion":
        name = CUDA_CODES.get(code, f"RETURN_{code}")
        assert statuses == [(call, code, name)]
        assert (libcuda.state, libcuda.detail) == ("failed", f"{call}: {code} {name}")
        assert [seen.look for seen in nvidia.cuda_versions] == ["nvml"]
    elif call == "nvmlSystemGetCudaDriverVersion_v2":
        # The call's older form answers; a driver that only lacks the newer one is in order.
        assert statuses == ([] if code == 13 else [(call, code, nvml_name(code))])
        assert [seen.where for seen in nvidia.cuda_versions] == [call.removesuffix("_v2"), "cuDriverGetVersion"]
        assert nvml.state == "ok"
    else:
        assert statuses == [(call, code, nvml_name(code))]
        assert nvidia.statuses[0].text == NVML_CODES[code][1]
    if call in ("nvmlInit_v2", "nvmlDeviceGetCount_v2"):
        assert nvidia.gpus is None
        assert (nvml.state, nvml.detail) == ("failed", f"{call}: {code} {nvml_name(code)}")
        assert looks["smi"].state == "skipped"
    else:
        assert nvml.state == "ok"
        assert nvidia.gpus is not None
        assert [gpu.error for gpu in nvidia.gpus] == [None, None]
    assert machine.left_behind() == []


@pytest.mark.parametrize("call", [*ESSENTIAL_CALLS, *SPECIAL_CALLS])
def test_a_call_for_a_gpu_that_fails_is_named_and_spares_the_others(tmp_path: Path, call: str) -> None:
    """31 codes at once: GPU n answers with the nth code, and the last one answers well."""
    script = "".join(f"{call}({gpu})={code};" for gpu, code in enumerate(CODES))
    machine = FakeMachine(tmp_path).healthy(len(CODES) + 1, script + "mig=1;migs=1")
    nvidia, looks, _ = machine.look()
    assert looks["nvml"].state == "ok"
    assert nvidia.gpus is not None
    assert len(nvidia.gpus) == len(CODES) + 1
    named = {(status.call, status.code): status.name for status in nvidia.statuses}
    for gpu, code in zip(nvidia.gpus, CODES, strict=False):
        quiet = code in QUIET and (call not in ESSENTIAL_CALLS)
        expected = None if quiet else nvml_name(code)
        assert named.get((f"{call}({gpu.index})", code)) == expected
        if call in FIELD and not (call == "nvmlDeviceGetMigMode" and code == 3):
            older_answers = code in QUIET - {3} and call in ("nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetMemoryInfo_v2")
            assert (getattr(gpu, FIELD[call]) is None) != older_answers
        if gpu.error is not None:
            assert (gpu.error, gpu.error_call) == (nvml_name(code), call)
        if code in (15, 16, 999) or (call in ESSENTIAL_CALLS and code not in QUIET):
            assert gpu.error == nvml_name(code)
    last = nvidia.gpus[-1]
    assert (last.name, last.error, last.compute_capability) == ("NVIDIA GeForce RTX 3090", None, "8.6")
    assert last.mig_devices == ("MIG-00000031-0000-4000-8000-000000000000",)


@pytest.mark.parametrize("call", ["nvmlDeviceGetMigDeviceHandleByIndex", "nvmlDeviceGetUUID(mig)"])
def test_a_mig_instance_that_does_not_answer_is_named(tmp_path: Path, call: str) -> None:
    for code in CODES:
        machine = FakeMachine(tmp_path / str(code)).healthy(1, f"mig=1;migs=2;{call}={code}")
        nvidia, looks, _ = machine.look()
        assert looks["nvml"].state == "ok"
        assert nvidia.gpus is not None
        assert (nvidia.gpus[0].mig_enabled, nvidia.gpus[0].mig_devices) == (True, ())
        named = {(status.code, status.name) for status in nvidia.statuses}
        assert named == (set() if code in QUIET | {6} else {(code, nvml_name(code))})


@pytest.mark.parametrize("code", [31, 555, -1])
def test_a_code_that_nvml_did_not_have_keeps_the_librarys_own_words(tmp_path: Path, code: int) -> None:
    nvidia, looks, _ = FakeMachine(tmp_path).healthy(1, f"nvmlInit_v2={code}").look()
    assert looks["nvml"].detail == f"nvmlInit_v2: {code} RETURN_{code}"
    assert nvidia.statuses[0].text == f"fake error {code}"


def test_memory_that_is_not_supported_is_unified(tmp_path: Path) -> None:
    nvidia, _, _ = FakeMachine(tmp_path).healthy(1, "nvmlDeviceGetMemoryInfo_v2=3;name=NVIDIA GB10;cc=12.1").look()
    assert nvidia.gpus is not None
    gpu = nvidia.gpus[0]
    assert (gpu.memory_bytes, gpu.unified_memory, gpu.error) == (None, True, None)
    assert nvidia.statuses == ()
