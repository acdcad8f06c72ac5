"""nvidia-smi as a last resort: its rows, its words, its exit codes, its tricks; and that a planted one never runs."""

from pathlib import Path

import pytest
from fakegpu.machine import FakeMachine
from hypothesis import given
from hypothesis import strategies as st

from envcheck.probes import smi
from envcheck.probes.returncodes import NVML_CODES
from envcheck.probes.smi import parse_smi_csv

RAW = Path(__file__).parent / "raw" / "driver" / "smi"
UUID = "GPU-5d6cd6f9-0a37-4a2a-8f3c-6f3f5b3c1a11"
ROW = f"0, NVIDIA GeForce RTX 3090, {UUID}, 550.54.15, 24576, 8.6"
GIB24 = 24576 << 20


def raw(name: str) -> str:
    return (RAW / f"{name}.txt").read_text(encoding="utf-8")


# --- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        ROW,
        ROW + "\n",
        ROW + "\r\n",
        "\n\n" + ROW + "\n\n",
        "  " + ROW + "  ",
        ROW.replace(", ", ","),
        ROW.replace(", ", ",   "),
        ROW.replace("24576", "24576 MiB"),
        ROW.replace("8.6", "8,6"),
        "index, name, uuid, driver_version, memory.total [MiB], compute_cap\n" + ROW,
        "\ufeff" + ROW,
        "\\xff\\xfe" + "\0".join(ROW) + "\0\r\0\n\0",
        "WARNING: infoROM is corrupted at gpu 0000:01:00.0\n" + ROW,
        ROW + "\nWARNING: something at the end",
        ROW + "\n1, NVIDIA GeF",
    ],
    ids=range(15),
)
def test_a_row_in_every_dress(text: str) -> None:
    table = parse_smi_csv(text)
    assert len(table.gpus) == 1
    gpu = table.gpus[0]
    assert (gpu.index, gpu.name, gpu.uuid) == (0, "NVIDIA GeForce RTX 3090", UUID)
    assert (gpu.memory_bytes, gpu.compute_capability, gpu.error, gpu.look) == (GIB24, "8.6", None, "smi")
    assert table.driver_version == "550.54.15"


@pytest.mark.parametrize(
    "nothing", ["[N/A]", "[Not Supported]", "N/A", "[Unknown Error]", "ERR!", "[Insufficient Permissions]", ""]
)
def test_fields_that_do_not_apply_are_unknown(nothing: str) -> None:
    gpu = parse_smi_csv(f"0, {nothing}, {nothing}, {nothing}, {nothing}, {nothing}").gpus[0]
    assert (gpu.name, gpu.uuid, gpu.memory_bytes, gpu.compute_capability) == (None, None, None, None)


def test_real_texts() -> None:
    one, gb10, orin = (parse_smi_csv(raw(name)).gpus[0] for name in ("one", "gb10", "jetson-orin"))
    assert (one.name, one.memory_bytes) == ("NVIDIA GeForce RTX 3090", GIB24)
    assert (gb10.name, gb10.memory_bytes, gb10.unified_memory, gb10.compute_capability) == (
        "NVIDIA GB10",
        None,
        True,
        "12.1",
    )
    assert (orin.name, orin.uuid, orin.unified_memory) == ("Orin (nvgpu)", None, True)
    lost = parse_smi_csv(raw("lost-one"))
    assert [(gpu.index, gpu.error, gpu.pci_address) for gpu in lost.gpus] == [
        (0, "GPU_IS_LOST", "00000000:24:00.0"),
        (1, None, None),
    ]
    assert lost.driver_version == "581.57"
    for name in ("mismatch", "not-communicating", "no-devices"):
        table = parse_smi_csv(raw(name))
        assert table.gpus == ()
        assert table.other[0] == raw(name).splitlines()[0]


@pytest.mark.parametrize(
    ("line", "index", "error"),
    [
        (
            "Unable to determine the device handle for GPU 0000:05:00.0: GPU is lost.  Reboot the system",
            0,
            "GPU_IS_LOST",
        ),
        ("Unable to determine the device handle for gpu 0000:08:00.0: Unknown Error", 0, "UNKNOWN"),
        ("Unable to determine the device handle for GPU1: 0000:0A:00.0: GPU is lost.", 1, "GPU_IS_LOST"),
        ("Unable to determine the device handle for GPU0000:2A:00.0: Unknown Error", 0, "UNKNOWN"),
        ("Unable to determine the device handle for GPU 0000:05:00.0: GPU requires reset.", 0, "RESET_REQUIRED"),
        ("Unable to determine the device handle for GPU 0000:05:00.0: Something new", 0, "UNKNOWN"),
        ("Unable to determine the device handle for GPU", 0, "UNKNOWN"),
        (f"0, [GPU is lost], {UUID}, 550.54.15, [GPU is lost], [GPU is lost]", 0, "GPU_IS_LOST"),
        (
            "3, [GPU requires reset], [GPU requires reset], [GPU requires reset], [GPU requires reset], 8.0",
            3,
            "RESET_REQUIRED",
        ),
    ],
)
def test_gpus_that_do_not_answer(line: str, index: int, error: str) -> None:
    gpu = parse_smi_csv(line).gpus[0]
    assert (gpu.index, gpu.error, gpu.error_call) == (index, error, "nvidia-smi")


@pytest.mark.parametrize("name", ["A, B", "GRID T4-8Q, rev 2", "x,y", "[/nope]", "\x1b[31mred", "12, 13"])
def test_a_name_may_hold_anything(name: str) -> None:
    gpu = parse_smi_csv(f"0, {name}, {UUID}, 550.54.15, 24576, 8.6").gpus[0]
    assert (gpu.name, gpu.memory_bytes) == (name, GIB24)


def test_without_the_newest_field() -> None:
    gpu = parse_smi_csv(ROW.removesuffix(", 8.6"), smi.FIELDS[:-1]).gpus[0]
    assert (gpu.name, gpu.memory_bytes, gpu.compute_capability) == ("NVIDIA GeForce RTX 3090", GIB24, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        ", , , , ,",
        "index",
        "a, b, c, d, e, f",
        "NaN, x, y, z, 1, 2",
        "99999, a, b, c, d, e",
        "\x00" * 100,
        "0",
        "0,",
    ],
)
def test_what_is_no_row(text: str) -> None:
    assert parse_smi_csv(text).gpus == ()


@given(st.text(st.characters(codec="utf-8"), max_size=400) | st.text("0, [N/A]\n\rGPU-.:\0", max_size=400))
def test_any_output_is_borne(text: str) -> None:
    table = parse_smi_csv(text)
    assert len(table.gpus) <= smi.MAX_ROWS
    assert len(table.other) <= smi.MAX_MESSAGES


def test_a_flood_of_rows_is_cut() -> None:
    table = parse_smi_csv("\n".join(ROW.replace("0,", f"{n},", 1) for n in range(5000)))
    assert len(table.gpus) == smi.MAX_ROWS


# --- the program ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["one", "gb10", "jetson-orin", "lost-one"])
def test_its_rows_stand_in_for_nvml(tmp_path: Path, name: str) -> None:
    found, looks, _ = FakeMachine(tmp_path).driver().smi(raw(name)).look()
    assert found.gpus == parse_smi_csv(raw(name)).gpus
    assert (looks["nvml"].state, looks["smi"].state) == ("absent", "ok")
    assert (found.smi_path, found.smi_returncode) == ("/usr/bin/nvidia-smi", 0)
    assert "smi" in [seen.look for seen in found.driver_versions]


@pytest.mark.parametrize(("name", "returncode"), [("mismatch", 18), ("not-communicating", 9), ("no-devices", 6)])
def test_its_words_and_its_exit_code_are_kept(tmp_path: Path, name: str, returncode: int) -> None:
    found, looks, messages = FakeMachine(tmp_path).driver().smi(raw(name), returncode=returncode).look()
    said = raw(name).splitlines()[0]
    assert messages[0].text == said
    assert (looks["smi"].state, looks["smi"].returncode) == ("failed", returncode)
    assert looks["smi"].detail == f"exit code {returncode}: {said}"
    assert [(status.call, status.code, status.look) for status in found.statuses] == [("nvidia-smi", returncode, "smi")]
    assert found.gpus == (() if name == "no-devices" else None)


def test_no_devices_is_an_answer(tmp_path: Path) -> None:
    found, looks, _ = FakeMachine(tmp_path).driver().smi(raw("no-devices")).look()
    assert (found.gpus, looks["smi"].state) == ((), "ok")


@pytest.mark.parametrize("returncode", [1, 2, 3, 4, 6, 8, 9, 10, 12, 13, 14, 15, 16, 18, 64, 126, 127, 255])
def test_every_exit_code_without_a_row(tmp_path: Path, returncode: int) -> None:
    found, looks, _ = FakeMachine(tmp_path).driver().smi("", returncode=returncode).look()
    assert found.gpus is None
    assert (looks["smi"].state, looks["smi"].returncode) == ("failed", returncode)
    assert [status.code for status in found.statuses] == (
        [returncode] if returncode in NVML_CODES and returncode > 1 else []
    )


def test_an_error_beside_usable_rows(tmp_path: Path) -> None:
    found, looks, _ = FakeMachine(tmp_path).driver().smi(raw("lost-one"), returncode=15).look()
    assert [gpu.error for gpu in found.gpus or ()] == ["GPU_IS_LOST", None]
    assert (looks["smi"].state, looks["smi"].returncode) == ("ok", 15)


def test_the_xml_tells_the_cuda_version(tmp_path: Path) -> None:
    machine = (
        FakeMachine(tmp_path)
        .driver()
        .file("/rows", ROW + "\n")
        .file("/xml", "<a><cuda_version>12.4</cuda_version></a>")
    )
    machine.program("nvidia-smi", f'case "$1" in -q) cat "{tmp_path}/xml";; *) cat "{tmp_path}/rows";; esac\n')
    found, _, _ = machine.look()
    assert [(seen.value, seen.look, seen.where) for seen in found.cuda_versions] == [
        ("12.4", "smi", "nvidia-smi -q -x")
    ]


def test_an_old_one_is_asked_again_without_the_field_it_lacks(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).driver().file("/rows", ROW.removesuffix(", 8.6") + "\n")
    refusal = 'Field "compute_cap" is not a valid field to query.'
    machine.program(
        "nvidia-smi", f"case \"$1\" in *compute_cap*) echo '{refusal}'; exit 2;; *) cat '{tmp_path}/rows';; esac\n"
    )
    found, looks, _ = machine.look()
    assert [(gpu.name, gpu.compute_capability) for gpu in found.gpus or ()] == [("NVIDIA GeForce RTX 3090", None)]
    assert looks["smi"].state == "ok"


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("kill -SEGV $$\n", "crashed"),
        ("kill -ABRT $$\n", "crashed"),
        ("while :; do echo xxxxxxxxxxxxxxxx; done\n", "failed"),
    ],
)
def test_a_crash_and_a_flood_are_named(tmp_path: Path, script: str, state: str) -> None:
    machine = FakeMachine(tmp_path).driver().program("nvidia-smi", script)
    found, looks, _ = machine.look()
    assert (found.gpus, looks["smi"].state) == (None, state)
    assert looks["smi"].signal or "printed more than" in (looks["smi"].detail or "")
    assert machine.left_behind() == []


@pytest.mark.parametrize("script", ["sleep 60\n", "trap '' TERM INT HUP\nsleep 60\n", "sleep 60 &\nsleep 60\n"])
def test_a_hang_ends_in_time_and_leaves_nobody(tmp_path: Path, script: str) -> None:
    machine = FakeMachine(tmp_path).driver().program("nvidia-smi", script)
    answer = smi.look(machine.system(), "/usr/bin/nvidia-smi", 0.3)
    assert (answer.observation.state, answer.gpus) == ("timeout", None)
    assert machine.left_behind() == []


def test_a_grandchild_that_holds_the_pipe_delays_nobody(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).driver().smi(ROW + "\n", before="sleep 60 &")
    found, looks, _ = machine.look()
    assert (len(found.gpus or ()), looks["smi"].state) == (1, "ok")
    assert machine.left_behind() == []


@pytest.mark.parametrize(
    "output",
    [b"\xff" * 1000, ROW.encode("utf-16"), b"\x00" * 5000, b"\x1b]0;title\x07", "Нет устройств\n".encode("cp1251")],
)
def test_bytes_that_are_no_text(tmp_path: Path, output: bytes) -> None:
    found, looks, _ = FakeMachine(tmp_path).driver().smi(output).look()
    rows = 1 if output.startswith(b"\xff\xfe") else 0
    assert len(found.gpus or ()) == rows
    assert looks["smi"].state == ("ok" if rows else "failed")


def test_it_is_not_asked_when_nvml_answered(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).healthy(1).smi(ROW, before=f"touch '{tmp_path}/ran'")
    _, looks, _ = machine.look()
    assert (looks["smi"].state, looks["smi"].detail) == ("skipped", "NVML answered")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("path", ["", ".", "relative", "::", ":/nowhere:.", "/tmp/world"])
def test_a_planted_one_never_runs(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = FakeMachine(tmp_path).driver().env(PATH=path)
    for folder in ("", "relative/", "tmp/world/"):
        machine.file(f"/{folder}nvidia-smi", f"#!/bin/sh\ntouch '{tmp_path}/ran'\n", 0o777)
    (tmp_path / "tmp/world").chmod(0o777)
    monkeypatch.chdir(tmp_path)
    _, looks, _ = machine.look()
    assert looks["smi"].state == "absent"
    assert not (tmp_path / "ran").exists()


def test_wsls_own_one_is_found_outside_of_path(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).file("/usr/lib/wsl/lib/nvidia-smi", "#!/bin/sh\n", 0o755)
    assert smi.find(machine.system()) == "/usr/lib/wsl/lib/nvidia-smi"
