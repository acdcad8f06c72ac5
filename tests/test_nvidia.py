"""The NVIDIA driver stack of whole machines: healthy ones, old ones, lying ones, half-installed ones."""

import itertools
import os
import struct
import time
from pathlib import Path

import msgspec
import pytest
from fakegpu.build import library
from fakegpu.machine import DRIVER, OPEN, FakeMachine
from hypothesis import given
from hypothesis import strategies as st

from envcheck.model.facts import Nvidia
from envcheck.probes import nvidia as nvidia_probe
from envcheck.probes import smi
from envcheck.probes.nvmlfacts import Names, answers
from envcheck.probes.system import System
from envcheck.probes.worker import WorkerResult

LIBRARIES = {"libnvidia-ml": "nvml", "libcuda": "libcuda"}


def values(sightings: tuple[msgspec.Struct, ...]) -> list[tuple[str, str]]:
    return [(seen.value, seen.look) for seen in sightings]  # type: ignore[attr-defined]


# --- what the driver lists ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 8, 64])
def test_every_gpu_is_listed_in_the_drivers_order(tmp_path: Path, count: int) -> None:
    machine = FakeMachine(tmp_path).healthy(count)
    nvidia, looks, messages = machine.look()
    assert nvidia.gpus is not None
    assert [gpu.index for gpu in nvidia.gpus] == list(range(count))
    assert [gpu.pci_address for gpu in nvidia.gpus] == [f"00000000:{n + 1:02x}:00.0" for n in range(count)]
    assert len({gpu.uuid for gpu in nvidia.gpus}) == count
    assert {gpu.memory_bytes for gpu in nvidia.gpus} <= {24576 << 20}
    assert values(nvidia.driver_versions) == [(DRIVER, "files"), (DRIVER, "nvml")]
    assert values(nvidia.cuda_versions) == [("12.4", "nvml"), ("12.4", "libcuda")]
    assert {version.value for version in nvidia.library_versions} == {DRIVER}
    assert {look: seen.state for look, seen in looks.items() if look != "kernel"} == {
        **dict.fromkeys(("files", "nvml", "libcuda"), "ok"),
        "smi": "skipped",
    }
    assert (nvidia.statuses, messages) == ((), ())


@pytest.mark.parametrize("count", [65, 4096, 4294967295])
def test_an_absurd_number_of_gpus_is_cut_and_told(tmp_path: Path, count: int) -> None:
    nvidia, looks, _ = FakeMachine(tmp_path).healthy(1, "").gpu(f"gpus={count}").look()
    assert len(nvidia.gpus or ()) == 64
    assert looks["nvml"].detail == f"counted {count} GPUs, asked 64"


def test_an_old_driver_lacks_the_new_calls_and_is_in_order(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).driver("375.26").libraries("375.26", variant="old")
    machine.gpu("driver=375.26;nvml=8.375.26;cuda=8000;name=Tesla K40m;cc=3.5;mem=11439;free=11365;mode=3")
    nvidia, looks, _ = machine.look()
    assert nvidia.gpus is not None
    gpu = nvidia.gpus[0]
    assert (gpu.name, gpu.compute_capability, gpu.memory_bytes, gpu.memory_free_bytes) == (
        "Tesla K40m",
        "3.5",
        11439 << 20,
        11365 << 20,
    )
    assert (gpu.compute_mode, gpu.mig_enabled, gpu.fabric_state) == ("exclusive_process", None, None)
    assert gpu.pci_address == "00000000:01:00.0"
    assert values(nvidia.cuda_versions) == [("8.0", "libcuda")]
    assert nvidia.statuses == ()
    assert looks["nvml"].state == "ok"


@pytest.mark.parametrize(
    ("script", "enabled", "instances"),
    [
        ("", False, None),
        ("mig=0", False, None),
        ("mig=1", True, 0),
        ("mig=1;migs=1", True, 1),
        ("mig=1;migs=7", True, 7),
    ],
)
def test_mig(tmp_path: Path, script: str, enabled: bool, instances: int | None) -> None:
    nvidia, _, _ = FakeMachine(tmp_path).healthy(1, script).look()
    assert nvidia.gpus is not None
    gpu = nvidia.gpus[0]
    assert gpu.mig_enabled is enabled
    assert (None if gpu.mig_devices is None else len(gpu.mig_devices)) == instances
    assert all(uuid.startswith("MIG-") for uuid in gpu.mig_devices or ())
    assert nvidia.statuses == ()


def test_mig_of_one_gpu_is_not_anothers(tmp_path: Path) -> None:
    nvidia, _, _ = FakeMachine(tmp_path).healthy(12, "mig1=1;migs1=1;mig11=1;migs11=2").look()
    counts = [None if gpu.mig_devices is None else len(gpu.mig_devices) for gpu in nvidia.gpus or ()]
    assert counts == [None, 1, *[None] * 9, 2]


@pytest.mark.parametrize(
    ("number", "state"), list(enumerate(["not_supported", "not_started", "in_progress", "completed", None]))
)
def test_fabric_states(tmp_path: Path, number: int, state: str | None) -> None:
    nvidia, _, _ = FakeMachine(tmp_path).healthy(1, f"fabric={number}").look()
    assert [gpu.fabric_state for gpu in nvidia.gpus or ()] == [state]


def test_the_older_fabric_call_answers_where_the_newer_is_missing(tmp_path: Path) -> None:
    nvidia, _, _ = FakeMachine(tmp_path).healthy(1, "fabric=3;nvmlDeviceGetGpuFabricInfoV=13").look()
    assert [gpu.fabric_state for gpu in nvidia.gpus or ()] == ["completed"]


def test_compute_modes_and_virtual_gpus(tmp_path: Path) -> None:
    script = "mode1=1;mode2=2;mode3=3;mode4=77;virt0=0;virt1=1;virt2=2;virt3=3;virt4=4"
    nvidia, _, _ = FakeMachine(tmp_path).healthy(5, script).look()
    modes = ["default", "exclusive_thread", "prohibited", "exclusive_process", None]
    assert [gpu.compute_mode for gpu in nvidia.gpus or ()] == modes
    assert [gpu.virtual for gpu in nvidia.gpus or ()] == [False, False, True, False, False]


def test_one_lost_gpu_leaves_the_others(tmp_path: Path) -> None:
    nvidia, looks, _ = FakeMachine(tmp_path).healthy(8, "nvmlDeviceGetHandleByIndex_v2(3)=15").look()
    assert [gpu.error for gpu in nvidia.gpus or ()] == [*[None] * 3, "GPU_IS_LOST", *[None] * 4]
    assert looks["nvml"].state == "ok"
    assert [(status.call, status.name) for status in nvidia.statuses] == [
        ("nvmlDeviceGetHandleByIndex_v2(3)", "GPU_IS_LOST")
    ]


def test_a_gpu_lost_in_between_is_not_asked_further(tmp_path: Path) -> None:
    nvidia, _, _ = (
        FakeMachine(tmp_path).healthy(2, "nvmlDeviceGetMemoryInfo_v2(0)=15;nvmlDeviceGetMigMode(0)=hang").look()
    )
    assert nvidia.gpus is not None
    gpu = nvidia.gpus[0]
    assert (gpu.name, gpu.error, gpu.error_call) == (
        "NVIDIA GeForce RTX 3090",
        "GPU_IS_LOST",
        "nvmlDeviceGetMemoryInfo_v2",
    )
    assert nvidia.gpus[1].error is None


# --- lies -----------------------------------------------------------------------------------------------------------

HOSTILE_NAMES = {
    "%ff%fe": "\\xff\\xfe",
    "GeForce %1b[31mRED%1b[0m": "GeForce \x1b[31mRED\x1b[0m",
    "%e2%80%aeXTR": "\u202eXTR",
    "[link=file:///etc/passwd]x[/link]": "[link=file:///etc/passwd]x[/link]",
    "%c2%9b2J": "\x9b2J",
    "%f0%9f%98%80 GPU": "😀 GPU",
    "a%0ab%0dc": "a\nb\rc",
    "%ed%a0%80": "\\xed\\xa0\\x80",
    "x" * 255: "x" * 255,
    "": None,
    '"quoted\\back': '"quoted\\back',
}


@pytest.mark.parametrize(("raw", "name"), list(HOSTILE_NAMES.items()))
def test_a_name_of_any_bytes_becomes_text(tmp_path: Path, raw: str, name: str | None) -> None:
    nvidia, looks, _ = FakeMachine(tmp_path).healthy(1, f"name={raw}").look()
    assert [gpu.name for gpu in nvidia.gpus or ()] == [name]
    assert looks["nvml"].state == "ok"
    assert msgspec.json.decode(msgspec.json.encode(nvidia), type=Nvidia) == nvidia


def test_a_name_that_does_not_fit_the_buffer_is_named(tmp_path: Path) -> None:
    nvidia, _, _ = FakeMachine(tmp_path).healthy(1, "name=" + "x" * 300).look()
    assert [(gpu.name, gpu.error) for gpu in nvidia.gpus or ()] == [(None, "INSUFFICIENT_SIZE")]


@pytest.mark.parametrize("driver", ["", "banana", "%ff%ff", "550", "1.2.3.4.5.6", "550.54.15 ", "-1.0", "9" * 40])
def test_a_driver_version_that_is_none_is_told_and_not_believed(tmp_path: Path, driver: str) -> None:
    machine = FakeMachine(tmp_path).libraries().gpu(f"gpus=1;driver={driver}")
    nvidia, looks, _ = machine.look()
    assert nvidia.driver_versions == ()
    if driver:
        assert (looks["nvml"].detail or "").startswith("nvmlSystemGetDriverVersion gave ")


@pytest.mark.parametrize("cuda", [0, 7, 999, 99991, -1, 2147483647])
def test_a_cuda_version_that_is_none_is_told_and_not_believed(tmp_path: Path, cuda: int) -> None:
    nvidia, looks, _ = FakeMachine(tmp_path).healthy(1, f"cuda={cuda}").look()
    assert nvidia.cuda_versions == ()
    assert "nvmlSystemGetCudaDriverVersion_v2 gave" in (looks["nvml"].detail or "")


@pytest.mark.parametrize("capability", ["0.0", "1000.0", "-1.5", "8.1000", "nonsense"])
def test_a_compute_capability_that_is_none_is_told_and_not_believed(tmp_path: Path, capability: str) -> None:
    nvidia, looks, _ = FakeMachine(tmp_path).healthy(1, f"cc={capability}").look()
    assert [gpu.compute_capability for gpu in nvidia.gpus or ()] == [None]
    assert "nvmlDeviceGetCudaComputeCapability(0) gave" in (looks["nvml"].detail or "")


@pytest.mark.parametrize("bus", ["%ff", "nonsense", "00000000:XX:00.0"])
def test_a_pci_address_that_is_none_is_made_of_its_numbers(tmp_path: Path, bus: str) -> None:
    nvidia, _, _ = FakeMachine(tmp_path).healthy(1, f"bus={bus}").look()
    assert [gpu.pci_address for gpu in nvidia.gpus or ()] == ["00000000:01:00.0"]


def test_no_memory_is_unknown_memory(tmp_path: Path) -> None:
    nvidia, _, _ = FakeMachine(tmp_path).healthy(1, "mem=0;free=0").look()
    assert [gpu.memory_bytes for gpu in nvidia.gpus or ()] == [None]


# --- versions that disagree -----------------------------------------------------------------------------------------

VERSIONS = ("535.183.01", "550.54.15")


@pytest.mark.parametrize(("module", "nvml", "cuda"), list(itertools.product(VERSIONS, repeat=3)))
def test_each_version_is_kept_with_the_look_that_saw_it(tmp_path: Path, module: str, nvml: str, cuda: str) -> None:
    machine = FakeMachine(tmp_path).driver(module).libraries(nvml, cuda=cuda)
    machine.gpu(f"driver={module};nvml=12.{nvml};cuda=12020;libcuda=12040")
    if module != nvml:
        machine.env(FAKE_GPU=machine.environ["FAKE_GPU"] + ";nvmlInit_v2=18")
    found, looks, _ = machine.look()
    assert ("files", module) in [(seen.look, seen.value) for seen in found.driver_versions]
    told = {(seen.look, seen.value) for seen in found.library_versions}
    assert told == {("nvml", nvml), ("libcuda", cuda)}
    assert ("12.4", "libcuda") in values(found.cuda_versions)
    assert (looks["nvml"].state == "ok") == (module == nvml)
    assert [status.name for status in found.statuses] == ([] if module == nvml else ["LIB_RM_VERSION_MISMATCH"])


@pytest.mark.parametrize(
    ("said", "version"), [("12.550.54.15", "550.54.15"), ("410.48", "410.48"), ("13.580.65", "580.65")]
)
def test_nvmls_own_version_is_the_drivers_behind_cudas(tmp_path: Path, said: str, version: str) -> None:
    found, _, _ = FakeMachine(tmp_path).healthy(1).gpu(f"nvml={said}").look()
    assert found.library_versions[0].value == version


# --- libraries that cannot be loaded --------------------------------------------------------------------------------


def elf(*, bits: int = 64, machine: int = 62) -> bytes:
    """The beginning of a shared object for another machine."""
    head = b"\x7fELF" + bytes([1 if bits == 32 else 2, 1, 1, 0]) + bytes(8)
    return head + struct.pack("<HHI", 3, machine, 1) + bytes(48)


UNREADABLE = {
    "empty": b"",
    "one byte": b"\x7f",
    "random": bytes(range(256)) * 16,
    "text": b"GROUP ( /lib/libc.so.6 )\n",
    "html": b"<!DOCTYPE html><title>404</title>",
    "32 bit": elf(bits=32, machine=3),
    "other processor": elf(machine=183),
    "header only": elf(),
    "git pointer": b"version https://git-lfs.github.com/spec/v1\n",
}


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("content", UNREADABLE)
def test_a_library_that_is_none_is_told_in_the_loaders_words(tmp_path: Path, name: str, content: str) -> None:
    machine = FakeMachine(tmp_path).healthy(1)
    path = f"/usr/lib/x86_64-linux-gnu/{name}.so.1"
    machine.at(path).unlink()
    machine.file(path, UNREADABLE[content])
    found, looks, _ = machine.look()
    look = LIBRARIES[name]
    assert looks[look].state == "failed"
    bad = next(one for one in found.libraries if one.name == f"{name}.so.1")
    assert bad.path is None
    assert bad.error
    assert path in bad.error
    assert looks[look].detail == bad.error
    assert str(tmp_path) not in bad.error
    other = next(look for look in LIBRARIES.values() if look != LIBRARIES[name])
    assert looks[other].state == "ok"


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("kind", ["directory", "loop", "dangling"])
def test_something_else_in_the_librarys_place(tmp_path: Path, name: str, kind: str) -> None:
    machine = FakeMachine(tmp_path).healthy(1)
    path = machine.at(f"/usr/lib/x86_64-linux-gnu/{name}.so.1")
    path.unlink()
    if kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(path.name if kind == "loop" else "nowhere.so")
    _, looks, _ = machine.look()
    assert looks[LIBRARIES[name]].state == ("absent" if kind == "dangling" else looks[LIBRARIES[name]].state)
    assert looks[LIBRARIES[name]].state in ("failed", "absent")
    assert looks[LIBRARIES[name]].detail


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("kept", [64, 512, 4096, 8192, 12288])
def test_a_truncated_library_crashes_or_is_refused_by_name(tmp_path: Path, name: str, kept: int) -> None:
    """An interrupted installation: what the loader maps beyond the file's end kills it with SIGBUS."""
    machine = FakeMachine(tmp_path).healthy(1)
    machine.at(f"/usr/lib/x86_64-linux-gnu/{name}.so.{DRIVER}").write_bytes(library().read_bytes()[:kept])
    _, looks, _ = machine.look()
    seen = looks[LIBRARIES[name]]
    assert seen.state in ("failed", "crashed")
    assert seen.detail or (seen.signal in ("SIGBUS", "SIGSEGV") and (seen.stage or "").startswith("dlopen("))
    assert machine.left_behind() == []


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_foreign_library_without_a_symbol(tmp_path: Path, name: str) -> None:
    machine = FakeMachine(tmp_path).healthy(1)
    machine.at(f"/usr/lib/x86_64-linux-gnu/{name}.so.1").unlink()
    machine.library(name, variant="empty")
    found, looks, _ = machine.look()
    assert looks[LIBRARIES[name]].state == "failed"
    names = {status.name for status in found.statuses}
    assert names == ({"FUNCTION_NOT_FOUND"} if name == "libnvidia-ml" else {"RETURN_13"})


def test_no_library_at_all(tmp_path: Path) -> None:
    found, looks, _ = FakeMachine(tmp_path).look()
    assert (looks["nvml"].state, looks["libcuda"].state, looks["smi"].state) == ("absent", "absent", "absent")
    assert "No such file" in (looks["nvml"].detail or "")
    assert (found.gpus, found.driver_versions, found.statuses) == (None, (), ())
    assert "kernel" not in looks


def test_a_library_that_a_library_needs_is_missing(tmp_path: Path) -> None:
    """The missing file is another one, so the driver is broken, not absent."""
    machine = FakeMachine(tmp_path).healthy(1)
    needy = tmp_path / "needy.so"
    source = tmp_path / "needy.c"
    source.write_text("int other(void); int mine(void) { return other(); }")
    os.system(f"cc -shared -fPIC -o {tmp_path}/libother.so -x c /dev/null")
    os.system(f"cc -shared -fPIC -Wl,--no-as-needed -o {needy} {source} {tmp_path}/libother.so")
    (tmp_path / "libother.so").unlink()
    machine.at("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1").unlink()
    machine.library("libnvidia-ml", needy.read_bytes())
    _, looks, _ = machine.look()
    assert looks["nvml"].state == "failed"
    assert "libother.so" in (looks["nvml"].detail or "")


# --- where the loader looks -----------------------------------------------------------------------------------------


def test_ld_library_path_wins_and_shows_in_the_path(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).healthy(1).env(LD_LIBRARY_PATH="relative::/usr/local/cuda/compat")
    machine.library("/usr/local/cuda/compat/libcuda.so.1", version="560.35.05")
    found, _, _ = machine.look()
    cuda = next(one for one in found.libraries if one.look == "libcuda")
    assert (cuda.path, cuda.version) == ("/usr/local/cuda/compat/libcuda.so.560.35.05", "560.35.05")


def test_cuda_visible_devices_does_not_reach_the_driver(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).healthy(2).env(CUDA_VISIBLE_DEVICES="")
    assert len(machine.look()[0].gpus or ()) == 2


def test_wsl_uses_windows_driver(tmp_path: Path) -> None:
    found, looks, _ = FakeMachine(tmp_path).wsl().gpu("gpus=1;driver=537.58;nvml=12.537.58").look()
    assert [one.path for one in found.libraries] == [
        "/usr/lib/wsl/lib/libnvidia-ml.so.550.54.15",
        "/usr/lib/wsl/lib/libcuda.so.550.54.15",
    ]
    assert values(found.driver_versions) == [("537.58", "nvml")]
    assert looks["nvml"].state == "ok"
    assert [node.path for node in found.nodes or ()] == ["/dev/dxg"]
    assert [module.loaded for module in found.modules or () if module.name == "nvidia"] == [False]


def test_a_stub_that_does_not_start_gives_way_to_the_library_that_does(tmp_path: Path) -> None:
    """WSL with the distribution's driver package: its libnvidia-ml finds no module, Windows' own one works."""
    machine = FakeMachine(tmp_path).wsl().gpu("gpus=1")
    machine.library("libnvidia-ml", variant="empty", version="535.183.01")
    found, looks, _ = machine.look()
    nvml = [(one.path, one.error) for one in found.libraries if one.look == "nvml"]
    assert nvml == [
        ("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.535.183.01", "nvmlInit_v2: 13 FUNCTION_NOT_FOUND"),
        ("/usr/lib/wsl/lib/libnvidia-ml.so.550.54.15", None),
    ]
    assert looks["nvml"].state == "ok"
    assert len(found.gpus or ()) == 1
    assert found.statuses == ()


def test_two_libraries_that_do_not_start_are_both_told(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).wsl().gpu("nvmlInit_v2=9")
    machine.library("libnvidia-ml")
    found, looks, _ = machine.look()
    assert [status.code for status in found.statuses] == [9, 9]
    assert looks["nvml"].state == "failed"


def test_jetson_with_its_few_answers(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, machine="aarch64").jetson().driver("540.4.0", gpus=0, text=OPEN)
    machine.library("libnvidia-ml", version="540.4.0")
    script = "gpus=1;driver=540.4.0;nvml=12.540.4.0;cuda=12060;name=Orin (nvgpu);cc=8.7"
    unsupported = (
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetComputeMode",
        "nvmlDeviceGetPciInfo_v3",
    )
    found, looks, _ = machine.gpu(";".join((script, *(f"{call}=3" for call in unsupported)))).look()
    assert [(gpu.name, gpu.compute_capability, gpu.unified_memory, gpu.error) for gpu in found.gpus or ()] == [
        ("Orin (nvgpu)", "8.7", True, None)
    ]
    assert looks["libcuda"].state == "absent"
    assert (found.modules or ())[0].flavour == "open"


@pytest.mark.parametrize("platform", ["darwin", "freebsd14"])
def test_systems_without_a_driver_are_not_asked(tmp_path: Path, platform: str) -> None:
    found, observations, _ = nvidia_probe.start(System(tmp_path, {}, platform, "arm64"), time.monotonic() + 5).finish()
    assert {seen.look: seen.state for seen in observations} == {
        "files": "ok",
        **dict.fromkeys(("nvml", "libcuda", "smi"), "skipped"),
    }
    assert (found.gpus, found.modules, found.nodes) == (None, None, None)


# --- events that no worker wrote -------------------------------------------------------------------------------------

STEPS = [
    *(
        "nvmlInit_v2",
        "nvmlInit_v2[b]",
        "nvmlSystemGetNVMLVersion",
        "nvmlSystemGetDriverVersion",
        "nvmlDeviceGetCount_v2",
    ),
    *("nvmlDeviceGetName(0)", "nvmlDeviceGetUUID(0)", "nvmlDeviceGetUUID(0)/1", "nvmlDeviceGetPciInfo_v3(0)"),
    *("nvmlDeviceGetCudaComputeCapability(0)", "nvmlDeviceGetMemoryInfo_v2(0)", "nvmlDeviceGetMigMode(0)"),
    *("nvmlDeviceGetComputeMode(0)", "nvmlDeviceGetVirtualizationMode(0)", "nvmlDeviceGetGpuFabricInfoV(0)"),
    *("nvmlSystemGetCudaDriverVersion_v2", "cuDriverGetVersion", "dlopen(a)", "dlopen(b)", "dlopen(c)", "anything"),
    *("nvmlErrorString(31)", "nvmlDeviceGetHandleByIndex_v2(0)"),
]
LEAVES = st.none() | st.booleans() | st.integers(-2, 40) | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
)
ENDINGS = st.sampled_from(["ok", "timeout", "crashed", "failed", "absent"])


@given(st.dictionaries(st.sampled_from(STEPS), JSON), ENDINGS, st.none() | st.sampled_from(STEPS))
def test_any_events_become_facts(steps: dict[str, object], state: str, stage: str | None) -> None:
    result = WorkerResult(state, steps, {}, stage)  # type: ignore[arg-type]
    seen = answers(result, Names(("a", "b"), ("c",), "/root"))
    assert seen.nvml.state in ("ok", "failed", "timeout", "crashed", "absent")
    assert seen.libcuda.state in ("ok", "failed", "timeout", "crashed", "absent", "skipped")
    assert all(status.name for status in seen.statuses)
    msgspec.json.encode((seen.gpus, seen.libraries, seen.driver_versions, seen.cuda_versions, seen.statuses))


# --- Windows, and looks that are cut short --------------------------------------------------------------------------

ADAPTER = "/registry/HKLM/SYSTEM/CurrentControlSet/Control/Class/{4d36e968-e325-11ce-bfc1-08002be10318}/0000/@values"


def test_windows_asks_its_own_libraries_by_their_paths(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).file(ADAPTER, "ProviderName=NVIDIA\nDriverVersion=31.0.15.5186\n")
    environ = machine.environ | {"WINDIR": "D:\\Windows", "ProgramFiles": "D:\\Programs"}
    system = System(tmp_path, environ, "win32", "AMD64")
    found, observations, _ = nvidia_probe.start(system, time.monotonic() + 20).finish()
    states = {seen.look: seen.state for seen in observations}
    assert states == {"files": "ok", "nvml": "absent", "libcuda": "absent", "smi": "absent"}
    assert [one.name for one in found.libraries] == ["nvml.dll", "nvcuda.dll"]
    assert (found.libraries[0].error or "").startswith("D:\\Windows\\System32\\nvml.dll: ")
    assert values(found.driver_versions) == [("551.86", "files")]


def test_windows_nvidia_smi_is_found_where_older_drivers_put_it(tmp_path: Path) -> None:
    place = "D:\\Programs\\NVIDIA Corporation\\NVSMI\\nvidia-smi.exe"
    FakeMachine(tmp_path).file("/D/Programs/NVIDIA Corporation/NVSMI/nvidia-smi.exe", "", 0o755)
    assert smi.find(System(tmp_path, {"ProgramFiles": "D:\\Programs"}, "win32")) == place


def test_a_look_can_be_given_up(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).healthy(1, "nvmlInit_v2=hang")
    handle = nvidia_probe.start(machine.system(), time.monotonic() + 20)
    handle.close()
    assert machine.left_behind() == []


def test_nothing_more_is_asked_when_the_time_is_over(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).driver().smi("never").program("dmesg", "echo NVRM: never\n")
    handle = nvidia_probe.start(machine.system(), time.monotonic() + 20)
    assert handle._worker is not None
    assert handle._worker._process is not None
    handle._worker._process.wait(20)
    handle.deadline = time.monotonic() + 0.02
    _, observations, messages = handle.finish()
    seen = {one.look: (one.state, one.detail) for one in observations}
    assert seen["smi"] == ("skipped", "no time left")
    assert seen["kernel"] == ("skipped", "no time left")
    assert messages == ()
