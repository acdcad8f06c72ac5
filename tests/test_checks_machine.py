"""Near misses and partial facts: what the checks of machine and run time must say, and what they must not."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envcheck.catalogue.remedies import remedies as remedies_data
from envcheck.diagnosis.checks import CHECKS
from envcheck.diagnosis.diagnose import diagnose
from envcheck.diagnosis.visible import visible
from envcheck.model.facts import Facts
from envcheck.probes.variables import NAMES
from tests.helpers.anything import values_of
from tests.helpers.cases import case_of, change, examine, found, primary, recorded, said, severities

MACHINE = [check for check in CHECKS if check.code[2] in "124"]
UUID = "GPU-8f2c1f5e-3a0d-4a6b-9d2e-0c7f5b1e6a90"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(values_of(Facts))
def test_no_facts_make_a_check_raise(facts: Facts) -> None:
    diagnose(case_of(facts), MACHINE)


def above_info(facts: Facts) -> list[str]:
    return [code for code, finding in found(facts).items() if finding.severity != "info"]


# --- what is visible ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "left", "flaw"),
    [
        ("0", 1, None),
        ("0,1", 2, None),
        ("1,0", 2, None),
        (" 1", 1, None),
        (UUID[:12], 1, None),
        ("", 0, "empty"),
        ("-1", 0, "negative"),
        ("0,-1,1", 1, "negative"),
        ("2", 0, "beyond"),
        ("0,7", 1, "beyond"),
        ("0,0", 0, "repeated"),
        ("GPU-00000000", 0, "unknown"),
        ("NoDevFiles", 0, "not_a_device"),
        ("all", 0, "not_a_device"),
        ("1,", 1, "not_a_device"),
    ],
)
def test_visible_devices_by_cudas_rules(value: str, left: int, flaw: str | None) -> None:
    seen = visible(value, 2, [UUID])
    assert (seen.left, seen.flaw) == (left, flaw)


@given(st.text(max_size=30), st.one_of(st.none(), st.integers(0, 16)))
def test_visible_devices_of_any_text(value: str, count: int | None) -> None:
    seen = visible(value, count)
    assert 0 <= (seen.left or 0) <= value.count(",") + 1


@pytest.mark.parametrize("value", ["0", "1", "0,1", "1,0"])
def test_a_selection_of_gpus_is_no_fault(value: str) -> None:
    facts = recorded("cuda-unavailable-no-reason", variables=[{"name": "CUDA_VISIBLE_DEVICES", "value": value}])
    assert "EC402" not in found(facts)


def test_a_variable_hides_nothing_where_nothing_is() -> None:
    facts = recorded("healthy-cuda-build-without-gpu", variables=[{"name": "CUDA_VISIBLE_DEVICES", "value": ""}])
    assert above_info(facts) == []


def test_hiding_gpus_where_torch_is_still_to_come_is_a_hint() -> None:
    hidden = [{"name": "CUDA_VISIBLE_DEVICES", "value": ""}]
    facts = recorded("visible-devices-minus-one", torch={"installed": False}, variables=hidden)
    assert severities(facts, "EC402") == {"EC402": "info"}


def test_hiding_gpus_from_a_cpu_build_is_a_hint_at_most() -> None:
    facts = recorded("healthy-laptop-cpu-only", variables=[{"name": "CUDA_VISIBLE_DEVICES", "value": "-1"}])
    assert above_info(facts) == []


# --- drivers and CUDA ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "build", "fires"),
    [
        ("525.60.13", "cu128", False),
        ("525.147.05", "cu126", False),
        ("520.61.05", "cu121", True),
        ("450.80.02", "cu118", False),
        ("450.36.06", "cu118", True),
        ("579.99", "cu130", True),
        ("580.65.06", "cu130", False),
        ("610.43", "cu118", False),
    ],
)
def test_the_minimum_driver_of_a_build(driver: str, build: str, fires: bool) -> None:
    seen = [{"value": driver, "look": "files"}]
    cuda = f"{build[2:-1]}.{build[-1]}"
    changes: dict[str, Any] = {"torch__variant": build, "torch__cuda": cuda, "torch__version": f"2.8.0+{build}"}
    facts = recorded("cuda-unavailable-no-reason", nvidia__driver_versions=seen, **changes)
    assert ("EC206" in found(facts)) is fires


@pytest.mark.parametrize(("api", "fires"), [("11.4", True), ("12.0", False), ("12.8", False), ("13.0", False)])
def test_the_cuda_version_alone_decides_by_family(api: str, fires: bool) -> None:
    facts = change(Facts(), source="text", host__os="linux", torch__version="2.7.1+cu128", torch__cuda_available=False)
    facts = change(facts, nvidia__cuda_versions=[{"value": api, "look": "text"}])
    assert ("EC206" in found(facts)) is fires


@pytest.mark.parametrize("torch", ["1.2.0", "2.7.1"])
@pytest.mark.parametrize(
    ("names", "too_old_for_all"),
    [
        (("GeForce GTX 580",), True),
        (("GeForce 210", "GeForce GT 430"), True),
        (("GeForce GTX 580", "GeForce GTX 1080"), False),
        (("GeForce GTX 580", "Some new card"), False),
        (("Some new card",), False),
    ],
)
def test_no_driver_helps_a_gpu_from_before_all_builds(
    names: tuple[str, ...], too_old_for_all: bool, torch: str
) -> None:
    gpus = [{"index": index, "name": name, "look": "text"} for index, name in enumerate(names)]
    facts = change(Facts(), source="text", host={"os": "linux", "machine": "x86_64"}, nvidia__gpus=gpus)
    facts = change(facts, torch={"version": torch, "cuda": "10.0" if torch < "2" else "12.6", "cuda_available": False})
    facts = change(facts, nvidia__driver_versions=[{"value": "390.157", "look": "text"}])
    if not too_old_for_all:
        assert primary(facts) == ("EC206", "driver_too_old")
        return
    assert primary(facts) == ("EC211", "gpu_too_old_for_wheel")
    assert "EC206" not in found(facts)
    finding = found(facts)["EC211"]
    assert "the official builds" in finding.title.msgid
    assert [fix.shell for fix in finding.fixes if fix.shell] == ["envcheck install --variant cpu"]


@pytest.mark.parametrize(
    ("devices", "in_vain"),
    [
        (("1080",), True),  # GTX 580
        (("0a65", "128b"), True),  # GeForce 210 and GT 710
        (("128b", "1b06"), False),  # GT 710 and GTX 1080 Ti
        (("102d",), False),  # Tesla K80
        (("2204",), False),  # RTX 3090
    ],
)
@pytest.mark.parametrize("owner", [None, "nouveau"])
def test_no_driver_is_advised_where_no_build_serves_the_card(
    owner: str | None, devices: tuple[str, ...], in_vain: bool
) -> None:
    facts = recorded("driver-missing-ubuntu")
    card = msgspec.to_builtins((facts.pci or ())[0])
    slots = [card | {"address": f"0000:0{at}:00.0", "device": one, "driver": owner} for at, one in enumerate(devices)]
    without = change(facts, pci=slots)
    assert (primary(without)[0] == "EC211") is in_vain
    if in_vain:
        finding = found(without)["EC211"]
        assert [fix.shell for fix in finding.fixes if fix.shell] == ["envcheck install --variant cpu"]
        assert {"EC202", "EC401"} <= set(finding.explains)
        assert severities(change(without, torch__variant="cpu", torch__cuda=None), "EC211") == {"EC211": "info"}


def test_no_driver_version_is_wanted_for_a_card_that_only_the_bus_shows_to_be_too_old() -> None:
    text = "The NVIDIA driver on your system is too old (found version 9010)."
    slot = {"address": "0000:01:00.0", "vendor": "10de", "pci_class": "030000"}
    old, new = (said(text, pci=[slot | {"device": device}]) for device in ("1080", "1b06"))
    assert primary(new) == ("EC206", "driver_too_old")
    assert "EC206" not in found(change(old, host={"os": "linux", "machine": "x86_64"}))


def test_a_release_from_before_the_catalogue_served_older_gpus() -> None:
    gpus = [{"index": 0, "name": "Tesla K40c", "look": "text"}]
    facts = change(Facts(), source="text", nvidia__gpus=gpus, torch={"version": "1.2.0", "cuda": "10.0"})
    facts = change(facts, torch__cuda_available=False, nvidia__driver_versions=[{"value": "390.157", "look": "text"}])
    assert primary(facts) == ("EC206", "driver_too_old")
    assert "EC211" in found(change(facts, torch__version="1.7.1+cu101", torch__cuda="10.1"))


@pytest.mark.parametrize(
    ("variable", "site"),
    [("COLAB_RELEASE_TAG", "Colab"), ("KAGGLE_KERNEL_RUN_TYPE", "Kaggle"), ("AutoDLDataCenter", "AutoDL")],
)
def test_a_machine_by_the_hour_gets_its_gpu_on_its_site(variable: str, site: str) -> None:
    variables = [{"name": variable, "value": "x"}]
    bare = recorded("sw_healthy_cpu_container", variables=variables, pci=[])
    assert site in found(bare)["EC201"].fixes[0].what.msgid
    assert found(bare)["EC201"].severity == "info"
    assert found(change(bare, torch__variant="cu126", torch__version="2.9.0+cu126"))["EC201"].severity == "warning"
    card = msgspec.to_builtins((recorded("driver-missing-ubuntu").pci or ())[0])
    without = found(change(bare, pci=[card], nvidia__nodes=[]))["EC204"]
    assert site in without.fixes[0].what.msgid
    assert not any("docker" in fix.shell for fix in without.fixes)
    elsewhere = change(bare, variables=[])
    assert found(elsewhere)["EC201"].fixes == ()


def test_every_provider_has_its_step() -> None:
    names = {row.name for row in remedies_data().rented}
    assert {variable for row in remedies_data().rented for variable in row.variables} <= NAMES
    for name in names:
        variable = next(row.variables[0] for row in remedies_data().rented if row.name == name)
        facts = recorded("sw_healthy_cpu_container", variables=[{"name": variable, "value": "x"}], pci=[])
        assert found(facts)["EC201"].fixes
    paths = ("/content/drive/MyDrive", "/kaggle/working/x", "/root/autodl-tmp/x")
    assert {case_of(said(path)).rented for path in paths} == names


def test_an_address_of_a_notebook_may_be_about_another_machine() -> None:
    missed = "RuntimeError: Found no NVIDIA driver on your system."
    inside = found(said(missed, "%cd /content"))["EC204"]
    linked = found(said(missed, "https://colab.research.google.com/github/a/b.ipynb"))["EC204"]
    assert (inside.confidence, linked.confidence) == ("likely", "possible")


def test_what_the_runtime_says_on_the_host_is_no_container_without_gpu() -> None:
    text = (
        "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object"
    )
    assert "EC204" not in found(said(text, "docker compose up"))
    assert "EC204" in found(said("RuntimeError: Found no NVIDIA driver on your system.", "docker compose up"))


def test_a_gpu_that_is_newer_than_all_builds_is_not_too_old() -> None:
    new = {"index": 0, "name": "Some new card", "compute_capability": "99.0", "look": "nvml"}
    facts = change(Facts(), source="text", nvidia__gpus=[new], torch={"version": "2.7.1+cu126", "cuda": "12.6"})
    assert "EC211" not in found(change(facts, torch__cuda_available=False))


def test_windows_has_minimums_of_its_own() -> None:
    facts = recorded("healthy-windows-rtx4060", torch__cuda_available=False, torch__devices=[], torch__device_count=0)
    old = change(facts, nvidia__driver_versions=[{"value": "527.41", "look": "files"}])
    assert "EC206" in found(old)
    assert "EC206" not in found(change(old, nvidia__driver_versions=[{"value": "528.33", "look": "files"}]))


def test_a_driver_that_works_is_not_too_old() -> None:
    facts = recorded("healthy-hgx-8xh100", nvidia__driver_versions=[{"value": "470.57.02", "look": "files"}])
    assert "EC206" not in found(facts)


def test_the_number_of_a_jetson_driver_says_nothing() -> None:
    facts = recorded("healthy-jetson-orin", torch__cuda_available=False, torch__devices=[], torch__cuda="13.0")
    assert not {"EC206", "EC207"} & set(found(facts))


def test_the_message_alone_names_the_driver_with_its_number() -> None:
    facts = said("The NVIDIA driver on your system is too old (found version 10010).")
    assert primary(facts) == ("EC206", "driver_too_old")
    finding = found(facts)["EC206"]
    assert finding.title.values["have"] == "10.1"
    assert "10010" in finding.evidence[0].value


@pytest.mark.parametrize(
    ("module", "library", "fires"), [("550.54", "550.54.15", False), ("550.54.14", "550.54.15", True)]
)
def test_versions_of_one_release_are_no_mismatch(module: str, library: str, fires: bool) -> None:
    facts = recorded(
        "nvml-answers-timeout",
        nvidia__driver_versions=[{"value": module, "look": "files"}],
        nvidia__library_versions=[{"value": library, "look": "nvml"}],
    )
    assert ("EC205" in found(facts)) is fires


def test_wsl_has_two_versions_and_is_well() -> None:
    assert above_info(recorded("healthy-wsl2-rtx3080")) == []


def test_a_mismatch_that_the_driver_does_not_mind_is_none() -> None:
    facts = recorded("healthy-hgx-8xh100", nvidia__library_versions=[{"value": "535.54.03", "look": "libcuda"}])
    assert "EC205" not in found(facts)


# --- the kernel's side --------------------------------------------------------------------------------------------


def test_nouveau_matters_as_much_as_cuda_was_wanted() -> None:
    facts = recorded("nouveau-fedora")
    assert severities(facts, "EC203") == {"EC203": "error"}
    missing = change(facts, torch={"installed": False}, messages=[])
    assert severities(missing, "EC203") == {"EC203": "warning"}
    cpu = change(facts, torch__variant="cpu", torch__cuda=None, torch__version="2.9.1+cpu", messages=[])
    assert severities(cpu, "EC203") == {"EC203": "info"}


def test_a_second_card_on_nouveau_beside_a_working_one_is_a_hint() -> None:
    facts = recorded("healthy-two-different-gpus", pci__0__driver="nouveau")
    assert severities(facts, "EC203") == {"EC203": "info"}


def test_nouveau_that_is_loaded_without_a_card_is_nothing() -> None:
    facts = recorded("healthy-laptop-cpu-only", nvidia__modules=[{"name": "nouveau", "loaded": True}])
    assert "EC203" not in found(facts)


def test_a_card_for_a_virtual_machine_beside_one_for_us() -> None:
    facts = recorded("healthy-two-different-gpus", pci__0__driver="vfio-pci")
    assert severities(facts, "EC215") == {"EC215": "info"}


def test_secure_boot_with_a_loaded_module_is_no_fault() -> None:
    assert "EC214" not in found(recorded("healthy-gb10-spark"))
    facts = recorded("healthy-hgx-8xh100", host__secure_boot=True)
    assert above_info(facts) == []


def test_secure_boot_is_not_blamed_for_a_module_that_was_never_built() -> None:
    facts = recorded("kernel-update-lost-module", host__secure_boot=True)
    assert primary(facts) == ("EC213", "module_not_loaded")


def test_a_tainted_kernel_is_not_a_rejected_key() -> None:
    line = "nvidia: module verification failed: signature and/or required key missing - tainting kernel"
    assert "EC214" not in found(said(line, kind="log"))


def test_no_driver_where_no_card_is() -> None:
    assert not {"EC202", "EC401"} & set(found(recorded("healthy-cuda-build-without-gpu")))


def test_no_driver_is_not_said_where_the_driver_was_seen() -> None:
    text = "Found no NVIDIA driver on your system."
    facts = said(text, nvidia__driver_versions=[{"value": "535.183.01", "look": "text"}])
    assert "EC202" not in found(facts)
    assert "EC202" in found(said(text))


def test_without_a_driver_a_machine_without_torch_is_warned_only() -> None:
    facts = recorded("driver-missing-ubuntu", torch={"installed": False}, messages=[])
    assert severities(facts, "EC202") == {"EC202": "warning"}


@pytest.mark.parametrize("xid", ["13", "31", "43", "45"])
def test_a_programs_own_xid_is_no_lost_gpu(xid: str) -> None:
    facts = said(f"NVRM: Xid (PCI:0000:3d:00): {xid}, pid=4711, name=python, Graphics Exception", kind="log")
    assert not {"EC217", "EC218"} & set(found(facts))


def test_a_look_that_hangs_beside_a_gpu_that_works_is_a_warning() -> None:
    hung = [{"look": "nvml", "state": "timeout", "stage": "nvmlDeviceGetMemoryInfo(0)"}]
    facts = recorded("healthy-rtx5090-open-module", observations=hung)
    assert severities(facts, "EC210") == {"EC210": "warning"}


def test_names_from_files_do_not_mean_that_the_driver_answers() -> None:
    assert primary(recorded("nvml-hangs")) == ("EC210", "driver_hung")


@pytest.mark.parametrize(("flavour", "fires"), [("open", False), ("proprietary", True)])
def test_a_blackwell_card_needs_the_open_module(flavour: str, fires: bool) -> None:
    facts = recorded("rtx5090-proprietary-module", messages=[], nvidia__modules__0__flavour=flavour)
    assert ("EC237" in found(facts)) is fires
    assert "EC216" in found(facts)


def test_an_ampere_card_takes_either_module() -> None:
    assert "EC237" not in found(recorded("gpu-not-initialised", nvidia__modules__0__flavour="open"))


# --- GPUs, joined and divided -------------------------------------------------------------------------------------


def test_a_fabric_manager_that_is_not_needed_is_not_missed() -> None:
    facts = recorded("healthy-hgx-8xh100", host__fabric_manager="inactive")
    assert above_info(facts) == []
    inside = recorded("cuda-unavailable-no-reason", host__container="docker", host__fabric_manager="absent")
    assert "EC208" not in found(inside)


@pytest.mark.parametrize("devices", [None, [UUID.replace("GPU", "MIG")]])
def test_mig_with_instances_or_unknown_ones_is_no_fault(devices: list[str] | None) -> None:
    assert "EC229" not in found(recorded("mig-on-without-instances", nvidia__gpus__0__mig_devices=devices))


def test_exclusive_use_that_works_is_a_hint() -> None:
    assert severities(recorded("healthy-slurm-job-exclusive"), "EC408") == {"EC408": "info"}


def test_busy_on_a_plain_gpu_is_no_licence() -> None:
    assert "EC232" not in found(recorded("exclusive-process-busy"))
    facts = said("RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable")
    assert primary(facts) == ("EC408", "exclusive_mode")


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("GRID T4-8Q", True),
        ("NVIDIA A100-40C", True),
        ("NVIDIA L40S-48Q", True),
        ("NVIDIA A100-SXM4-80GB", False),
        ("Tesla V100-SXM2-16GB", False),
        ("NVIDIA GeForce RTX 4090", False),
    ],
)
def test_virtual_gpus_by_name(name: str, grid: bool) -> None:
    facts = recorded("vgpu-unlicensed", nvidia__gpus__0__name=name, nvidia__gpus__0__virtual=None)
    assert ("EC232" in found(facts)) is grid


# --- GPUs and builds ----------------------------------------------------------------------------------------------


def with_gpu(capability: str, *kernels: str, name: str = "NVIDIA GPU") -> Facts:
    facts = recorded("cuda-unavailable-no-reason", torch__arch_list=kernels, torch__cuda_available=True)
    device = {"kind": "cuda", "index": 0, "name": name, "compute_capability": capability}
    return change(facts, torch__devices=[device], torch__device_count=1)


@pytest.mark.parametrize(
    ("capability", "kernels", "code"),
    [
        ("8.9", ("sm_80", "sm_86"), None),
        ("8.6", ("sm_80",), None),
        ("8.0", ("sm_86",), "EC211"),
        ("8.7", ("sm_80", "sm_86"), "EC212"),
        ("7.0", ("sm_75", "sm_80"), "EC211"),
        ("6.1", ("sm_75", "sm_80", "sm_120"), "EC211"),
        ("6.1", ("sm_50", "sm_60"), None),
        ("3.5", ("sm_37", "sm_50"), "EC211"),
        ("12.0", ("sm_80", "sm_90"), "EC212"),
        ("12.0", ("sm_80", "sm_90", "compute_90"), None),
        ("12.1", ("sm_120",), None),
        ("10.3", ("sm_100",), None),
        ("9.0", ("sm_90a",), None),
    ],
)
def test_kernels_and_capabilities(capability: str, kernels: tuple[str, ...], code: str | None) -> None:
    codes = {one for one in found(with_gpu(capability, *kernels)) if one in ("EC211", "EC212")}
    assert codes == ({code} if code else set())


def test_a_gpu_that_computed_needs_no_list() -> None:
    facts = with_gpu("6.1", "sm_80")
    assert "EC211" not in found(change(facts, torch__devices__0__kernel_ok=True))


def test_one_old_card_beside_a_good_one_is_a_warning_until_something_fails() -> None:
    facts = recorded("healthy-two-different-gpus", torch__arch_list=["sm_75", "sm_80", "sm_86"], variables=[])
    devices = [
        {"kind": "cuda", "index": 0, "name": "NVIDIA GeForce RTX 3090", "compute_capability": "8.6", "kernel_ok": True},
        {"kind": "cuda", "index": 1, "name": "NVIDIA GeForce GTX 1080 Ti", "compute_capability": "6.1"},
    ]
    facts = change(facts, torch__devices=devices, torch__device_count=2)
    assert severities(facts, "EC211") == {"EC211": "warning"}
    assert any("CUDA_VISIBLE_DEVICES=0" in fix.shell for fix in found(facts)["EC211"].fixes)
    second = change(facts, torch__devices__1__kernel_ok=False)
    assert severities(second, "EC211", "EC404") == {"EC211": "warning", "EC404": "warning"}
    order = [devices[1] | {"index": 0, "kernel_ok": False}, devices[0] | {"index": 1}]
    assert severities(change(facts, torch__devices=order), "EC211") == {"EC211": "error"}


def test_the_catalogue_knows_kernels_that_torch_did_not_tell() -> None:
    facts = change(Facts(), source="text", host={"os": "linux", "machine": "x86_64"}, torch__version="2.5.1+cu121")
    gpu = {"index": 0, "name": "NVIDIA GeForce RTX 5070 Ti", "look": "text"}
    facts = change(facts, nvidia__gpus=[gpu], torch__cuda_available=True)
    assert primary(facts) == ("EC212", "gpu_too_new_for_wheel")
    assert found(facts)["EC212"].confidence == "likely"


def test_a_table_of_nvidia_smi_alone_shows_nothing() -> None:
    gpu = {"index": 0, "name": "NVIDIA GeForce RTX 3090", "look": "text", "compute_mode": "default"}
    versions = [{"value": "535.183.01", "look": "text"}]
    facts = change(Facts(), source="text", nvidia__gpus=[gpu], nvidia__driver_versions=versions)
    assert above_info(change(facts, nvidia__cuda_versions=[{"value": "12.2", "look": "text"}])) == []


GB10 = (
    "Found GPU0 NVIDIA GB10 which is of cuda capability 12.1.\n"
    "Minimum and Maximum cuda capability supported by this version of PyTorch is\n(8.0) - (12.0)"
)


def test_the_warning_about_a_gb10_is_false() -> None:
    assert primary(said(GB10, kind="warning")) == (None, None)
    assert found(said(GB10, kind="warning"))["EC247"].cause == "healthy_false_warning"


def test_the_same_warning_is_true_once_a_kernel_failed() -> None:
    failed = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
    assert primary(said(GB10, failed)) == ("EC212", "gpu_too_new_for_wheel")


RANGE = "Minimum and Maximum cuda capability supported by this version of PyTorch is"
NOT_COMPATIBLE = "is not compatible with the current PyTorch installation."
WARNINGS = {
    f"Found GPU0 NVIDIA GeForce GTX 1080 Ti which is of cuda capability 6.1.\n{RANGE}\n(7.0) - (12.0)": "old",
    f"Found GPU0 NVIDIA GeForce RTX 5090 which is of cuda capability 12.0.\n{RANGE}\n(5.0) - (9.0)": "new",
    """    Found GPU0 GeForce GTX 670M which is of cuda capability 2.1.
    PyTorch no longer supports this GPU because it is too old.""": "old",
    """Found GPU0 NVIDIA GeForce RTX 5090 which is of compute capability (CC) 12.0.
The following list shows the CCs this version of PyTorch was built for and the hardware CCs it supports:
- 5.0 which supports hardware CC >=5.0,<6.0 except {5.3}
- 9.0 which supports hardware CC >=9.0,<10.0""": "new",
    f"""NVIDIA GeForce RTX 3090 with CUDA capability sm_86 {NOT_COMPATIBLE}
The current PyTorch install supports CUDA capabilities sm_37 sm_50 sm_60 sm_70 compute_37.""": "new",
    f"NVIDIA GeForce RTX 3090 with CUDA capability sm_86 {NOT_COMPATIBLE}": "new",
    f"Quadro K420 with CUDA capability sm_30 {NOT_COMPATIBLE}": "old",
}


@pytest.mark.parametrize(("text", "age"), WARNINGS.items())
def test_torchs_own_warnings_name_the_direction(text: str, age: str) -> None:
    assert primary(said(text, kind="warning"))[1] == f"gpu_too_{age}_for_wheel"


def test_an_overridden_amd_target_is_not_missed() -> None:
    facts = recorded("rx6600-without-override", messages=[], torch__devices=[])
    assert "EC235" in found(facts)
    override = [{"name": "HSA_OVERRIDE_GFX_VERSION", "value": "10.3.0"}]
    assert "EC235" not in found(change(facts, variables=override))


def test_a_processors_own_graphics_beside_an_amd_card_that_computes() -> None:
    card = {"kind": "rocm", "index": 0, "name": "AMD Radeon RX 7900 XTX", "gfx": "gfx1100", "kernel_ok": True}
    chip = {"kind": "rocm", "index": 1, "name": "AMD Radeon Graphics", "gfx": "gfx1036", "kernel_ok": False}
    facts = recorded("rx6600-without-override", messages=[], torch__devices=[card, chip], torch__device_count=2)
    facts = change(facts, amd__gpus=[{"index": 0, "gfx": "gfx1100"}, {"index": 1, "gfx": "gfx1036"}])
    assert severities(facts, "EC235", "EC404") == {"EC235": "warning", "EC404": "warning"}
    assert examine(facts).verdict == "healthy"


def test_a_closed_kfd_is_nothing_to_a_cpu_build() -> None:
    cpu = {"installed": True, "imported": True, "version": "2.9.1+cpu", "variant": "cpu", "cuda_known": True}
    assert "EC234" not in found(recorded("rocm-user-not-in-render", torch=cpu))


# --- WSL and stubs ------------------------------------------------------------------------------------------------


def test_wsl_on_a_laptop_without_an_nvidia_gpu() -> None:
    absent = [
        {"name": "libcuda.so.1", "error": "libcuda.so.1: cannot open shared object file: No such file or directory"}
    ]
    facts = recorded("healthy-cuda-build-without-gpu", host__wsl=True, pci=[], nvidia__libraries=absent)
    assert severities(facts, "EC209", "EC202", "EC401") == {"EC209": "warning", "EC401": "warning"}
    cpu = recorded("healthy-laptop-cpu-only", host__wsl=True, pci=[], nvidia__libraries=absent)
    assert above_info(cpu) == []


def test_wsl_with_a_driver_that_says_something_is_a_fault() -> None:
    facts = recorded("wsl-with-linux-driver", nvidia__libraries=[], nvidia__packages=[])
    says = {
        "kind": "error",
        "text": "Failed to initialize NVML: GPU access blocked by the operating system",
        "look": "smi",
    }
    assert severities(change(facts, messages=[says]), "EC209") == {"EC209": "error"}


def test_a_build_machine_with_stubs_and_a_cpu_build_is_well() -> None:
    stub = [{"name": "libcuda.so.1", "path": "/usr/local/cuda/lib64/stubs/libcuda.so.1", "look": "libcuda"}]
    assert above_info(recorded("healthy-laptop-cpu-only", nvidia__libraries=stub)) == []
    unseen = recorded("healthy-laptop-cpu-only", nvidia__libraries=stub, pci=None)
    assert above_info(unseen) == []


def test_a_compat_library_that_a_data_centre_gpu_may_use_is_well() -> None:
    compat = {"name": "libcuda.so.1", "path": "/usr/local/cuda/compat/libcuda.so.560.35.05", "version": "560.35.05"}
    facts = recorded("healthy-docker-with-gpu", nvidia__libraries__1=compat | {"look": "libcuda"})
    facts = change(facts, nvidia__library_versions=[{"value": "560.35.05", "look": "libcuda"}])
    assert above_info(facts) == []
    without_nvml = change(facts, nvidia__gpus=None, nvidia__libraries__0__path=None)
    assert "EC205" not in found(without_nvml)


def test_a_driver_that_sleeps_beside_a_cpu_build_is_a_warning() -> None:
    cpu = {"installed": True, "imported": True, "version": "2.9.1+cpu", "variant": "cpu", "cuda_known": True}
    facts = recorded("kernel-update-lost-module", torch=cpu, messages=[])
    assert severities(facts, "EC213") == {"EC213": "warning"}


# --- containers and jobs ------------------------------------------------------------------------------------------


def test_a_container_without_gpus_matters_as_much_as_cuda_was_wanted() -> None:
    facts = recorded("docker-run-without-gpus")
    assert severities(facts, "EC204") == {"EC204": "error"}
    assert severities(change(facts, torch={"installed": False}, messages=[]), "EC204") == {"EC204": "warning"}
    assert severities(recorded("healthy-cpu-container-on-gpu-host"), "EC204") == {"EC204": "info"}


def test_a_container_on_a_host_without_gpus_lacks_nothing() -> None:
    facts = recorded("docker-run-without-gpus", pci=[], nvidia__modules=[], nvidia__driver_versions=[], messages=[])
    assert "EC204" not in found(facts)


@pytest.mark.parametrize(
    ("command", "fires"),
    [
        ("docker run -it --rm image python train.py", True),
        ("sudo docker run --privileged image python train.py", True),
        ("podman run image python train.py", True),
        ("docker run --gpus all image python train.py", False),
        ("docker run --runtime=nvidia image python train.py", False),
        ("docker run --device nvidia.com/gpu=all image python train.py", False),
        ("docker ps", False),
    ],
)
def test_the_command_that_starts_a_container(command: str, fires: bool) -> None:
    facts = said("RuntimeError: Found no NVIDIA driver on your system.")
    typed = {"kind": "command", "text": command, "look": "text"}
    assert ("EC204" in found(change(facts, messages=[*facts.messages, typed]))) is fires


def test_unknown_error_outside_a_container_has_another_name() -> None:
    text = "Failed to initialize NVML: Unknown Error"
    assert primary(said(text)) == ("EC226", "container_lost_gpu_cgroup")
    assert "EC226" not in found(said(text, host__container="none"))


def test_a_job_with_a_gpu_or_without_the_wish_for_one_is_well() -> None:
    assert "EC240" not in found(recorded("healthy-slurm-job-exclusive"))
    facts = recorded("healthy-server-cpu-only", host__scheduler="slurm")
    assert above_info(facts) == []


def test_refused_device_files_are_nothing_to_a_machine_that_computes() -> None:
    denied = [{"path": "/dev/nvidia-modeset", "error": "EACCES"}]
    assert "EC227" not in found(recorded("healthy-rtx5090-open-module", nvidia__nodes=denied))


# --- run time -----------------------------------------------------------------------------------------------------


def test_an_ordinal_at_the_start_is_not_the_programs_fault() -> None:
    at_start = (
        "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() "
        "that might have already set an error? Error 101: invalid device ordinal"
    )
    assert primary(said(at_start)) == ("EC410", "invalid_ordinal_init_101")
    assert primary(said("RuntimeError: CUDA error: invalid device ordinal")) == ("EC409", "invalid_ordinal")


def test_unavailable_is_explained_by_its_root() -> None:
    report = found(recorded("unattended-upgrade-mismatch"))
    assert report["EC401"].caused_by == "EC205"
    assert set(report["EC205"].explains) >= {"EC401", "EC224"}


def test_a_proved_gpu_needs_no_weak_true() -> None:
    facts = recorded("nvml-based-check")
    assert "EC403" in found(facts)
    proved = change(facts, torch__devices__0__kernel_ok=True)
    assert "EC403" not in found(proved)


def test_full_memory_of_a_shared_pool_is_no_fault() -> None:
    facts = recorded("memory-taken-by-others", nvidia__gpus__0__unified_memory=True)
    assert "EC405" not in found(facts)


# --- interpreters -------------------------------------------------------------------------------------------------


def pip_says(asked: str, versions: str, **changes: Any) -> Facts:
    line = f"ERROR: Could not find a version that satisfies the requirement {asked} (from versions: {versions})"
    return said(f"{line}\nERROR: No matching distribution found for {asked}", **changes)


@pytest.mark.parametrize(
    ("asked", "versions", "facts", "cause"),
    [
        ("torch==1.12.1", "1.13.0, 1.13.1, 2.0.0", {}, "python_too_new"),
        ("torch==1.11.0+cu113", "none", {"host__os": "windows"}, "python_too_new"),
        ("torch==2.9.1", "1.13.0, 2.0.0, 2.4.1", {"python__version": "3.8.10"}, "python_too_old"),
        ("torch==1.13.1", "2.2.0, 2.2.1", {"python__version": "3.12.4"}, "python_too_new"),
        ("torch===1.4.0", "0.1.2, 0.1.2.post1, 0.1.2.post2", {}, "python_32bit"),
        ("torch", "none", {"python__bits": 32}, "python_32bit"),
        ("torch==2.9.1", "none", {"python__libc": "musl"}, "musl"),
        ("torch==2.1.2+cu118", "2.1.2, 2.2.0", {"host__os": "macos"}, "no_cuda_on_macos"),
        ("torch==2.7.1", "2.6.0", {"python__version": "3.11.4", "python__libc_version": "2.17"}, "glibc_too_old"),
        (
            "torch==2.6.0",
            "2.0.0, 2.2.0, 2.2.2",
            {"host__os": "macos", "host__machine": "x86_64", "python__version": None},
            "macos_x86_64_ended",
        ),
    ],
)
def test_why_pip_found_no_torch(asked: str, versions: str, facts: dict[str, Any], cause: str) -> None:
    assert primary(pip_says(asked, versions, **facts))[1] == cause


@pytest.mark.parametrize(
    ("asked", "versions", "extra"),
    [
        ("torch==2.6.0", "2.5.0+cu121, 2.5.1+cu121", ""),
        ("torch==1.12.1+cu113", "1.11.0, 1.12.1, 1.13.0", ""),
        ("torch==2.9.1", "none", "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]"),
        ("torchvision==0.9.0", "0.15.0", ""),
    ],
)
def test_what_the_interpreter_is_not_to_blame_for(asked: str, versions: str, extra: str) -> None:
    facts = pip_says(asked, versions)
    facts = change(facts, messages=[*facts.messages, {"kind": "error", "text": extra, "look": "text"}])
    assert not {code for code in found(facts) if code.startswith("EC10")}


@pytest.mark.parametrize("version", ["3.10.12", "3.11.9", "3.12.3", "3.13.1", "3.14.0"])
def test_present_pythons_are_neither_old_nor_new(version: str) -> None:
    facts = recorded("debian-system-python", python__version=version)
    assert not {"EC101", "EC102", "EC112", "EC113"} & set(found(facts))


def test_a_torch_that_works_proves_its_interpreter() -> None:
    facts = recorded("healthy-laptop-cpu-only", python__version="3.17.0", python__implementation="GraalVM")
    facts = change(facts, python__libc="musl", host__machine="loongarch64")
    assert above_info(facts) == []


def test_an_illegal_instruction_on_a_processor_with_all_of_them_is_less_sure() -> None:
    facts = recorded("celeron-without-avx")
    assert found(facts)["EC108"].confidence == "certain"
    assert found(change(facts, host__cpu_flags=["avx", "avx2", "fma"]))["EC108"].confidence == "possible"
    assert found(change(facts, host__cpu_flags=None))["EC108"].confidence == "likely"


def test_uv_names_the_platforms_that_have_wheels() -> None:
    hint = (
        "hint: Wheels are available for `torch` (v2.7.0+cu118) on the following platforms: "
        "`manylinux_2_28_x86_64`, `win_amd64`"
    )
    listed = ", ".join(f"2.{minor}.0+cu118" for minor in range(7))
    assert primary(change(pip_says("torch==2.7.0", listed), messages=[*pip_says("torch==2.7.0", listed).messages,
        {"kind": "log", "text": hint, "look": "text"}])) == ("EC105", "glibc_too_old")  # fmt: skip


# --- fixes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "command"),
    [
        ("Ubuntu 24.04.2 LTS", "ubuntu-drivers"),
        ("Linux Mint 22", "ubuntu-drivers"),
        ("Debian GNU/Linux 12 (bookworm)", "nvidia-driver"),
        ("Fedora Linux 42", "akmod-nvidia"),
        ("Red Hat Enterprise Linux 9.4 (Plow)", "dnf"),
        ("openSUSE Tumbleweed", "zypper"),
        ("Manjaro Linux", "pacman"),
    ],
)
def test_the_driver_is_installed_as_the_distribution_does_it(system: str, command: str) -> None:
    fixes = found(recorded("driver-missing-ubuntu", host__os_name=system))["EC202"].fixes
    assert any(command in fix.shell for fix in fixes)
    assert fixes[-1].argv == ("sudo", "reboot")


def test_an_unknown_distribution_gets_the_page() -> None:
    fixes = found(recorded("driver-missing-ubuntu", host__os_name="Chimera Linux"))["EC202"].fixes
    assert fixes[0].what.values["url"].startswith("https://")
    assert not any(fix.shell for fix in fixes[:-1])


def test_a_container_is_told_to_mend_the_host() -> None:
    facts = recorded("driver-470-with-cu126", host__container="docker")
    assert not any("apt" in fix.shell for fix in found(facts)["EC206"].fixes)


def test_windows_gets_powershell() -> None:
    facts = recorded("healthy-windows-rtx4060", torch__cuda_available=False, torch__devices=[], torch__device_count=0)
    facts = change(facts, variables=[{"name": "CUDA_VISIBLE_DEVICES", "value": "-1"}])
    assert found(facts)["EC402"].fixes[0].shell == "Remove-Item Env:CUDA_VISIBLE_DEVICES"


@pytest.mark.parametrize(("have", "fires"), [("2.12", True), ("2.17", False), ("2.35", False)])
def test_conda_names_glibc_in_other_conflicts_too(have: str, fires: bool) -> None:
    text = f"  - feature:/linux-64::__glibc=={have}=0\n  - pytorch -> libgcc-ng -> __glibc[version='>=2.17']"
    assert ("EC105" in found(said(text))) is fires
