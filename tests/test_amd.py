"""AMD's compute stack from KFD's files."""

from pathlib import Path

import pytest
from fakegpu.machine import FakeMachine
from hypothesis import given
from hypothesis import strategies as st

from envcheck.model.facts import Amd, Observation
from envcheck.probes import amd
from envcheck.probes.system import System


def look(machine: FakeMachine) -> tuple[Amd, Observation]:
    found, (seen,) = amd.look(machine.system())
    return found, seen


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (70000, "gfx700"),
        (80003, "gfx803"),
        (90000, "gfx900"),
        (90006, "gfx906"),
        (90008, "gfx908"),
        (90010, "gfx90a"),
        (90012, "gfx90c"),
        (90402, "gfx942"),
        (90500, "gfx950"),
        (100300, "gfx1030"),
        (100306, "gfx1036"),
        (110000, "gfx1100"),
        (110501, "gfx1151"),
        (120001, "gfx1201"),
        (0, None),
        (-1, None),
        (10**9, None),
    ],
)
def test_target_versions(number: int, name: str | None) -> None:
    assert amd.gfx_name(number) == name


@given(st.integers())
def test_any_target_version_is_borne(number: int) -> None:
    name = amd.gfx_name(number)
    assert name is None or name.startswith("gfx")


@given(st.text())
def test_any_properties_are_borne(text: str) -> None:
    assert all(value >= 0 for value in amd.parse_properties(text).values())


def test_gpus_behind_processors(tmp_path: Path) -> None:
    found, seen = look(FakeMachine(tmp_path).kfd(0, 0, 90402, 110000))
    assert [(gpu.index, gpu.gfx, gpu.name) for gpu in found.gpus or ()] == [(0, "gfx942", None), (1, "gfx1100", None)]
    assert seen.state == "ok"
    assert found.kfd is not None
    assert (found.kfd.path, found.kfd.error) == ("/dev/kfd", None)
    assert [node.path for node in found.render_nodes or ()] == ["/dev/dri/renderD128"]


def test_ten_nodes_stand_in_their_own_order(tmp_path: Path) -> None:
    found, _ = look(FakeMachine(tmp_path).kfd(*([0] * 2 + [90402] * 9 + [110000])))
    assert [gpu.gfx for gpu in found.gpus or ()] == ["gfx942"] * 9 + ["gfx1100"]


def test_a_name_of_an_older_kernel_is_kept(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).kfd(90010).file("/sys/class/kfd/kfd/topology/nodes/0/name", "aldebaran\n")
    assert [gpu.name for gpu in look(machine)[0].gpus or ()] == ["aldebaran"]


def test_no_kfd(tmp_path: Path) -> None:
    found, seen = look(FakeMachine(tmp_path))
    assert found == Amd()
    assert seen.state == "absent"


def test_a_processor_only(tmp_path: Path) -> None:
    found, seen = look(FakeMachine(tmp_path).kfd(0))
    assert (found.gpus, seen.state) == ((), "ok")


def test_nodes_that_refuse_are_no_trouble_while_one_answers(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path).kfd(90402, 90402)
    place = machine.at("/sys/class/kfd/kfd/topology/nodes/0/properties")
    place.unlink()
    place.mkdir()  # what a forbidden file says (EPERM) cannot be made by root; a directory is another refusal
    found, seen = look(machine)
    assert [gpu.gfx for gpu in found.gpus or ()] == ["gfx942"]
    assert (seen.state, "nodes/0/properties: EISDIR" in (seen.detail or "")) == ("failed", True)


class Refusing(System):
    """A machine whose container may not read some of KFD's nodes."""

    refused = ("/nodes/0/",)

    def read_bytes(self, path: str, cap: int = 65536) -> tuple[bytes | None, str | None]:
        return (None, "EPERM") if any(part in path for part in self.refused) else super().read_bytes(path, cap)


@pytest.mark.parametrize(("targets", "state"), [((90402, 90402), "ok"), ((90402,), "failed")])
def test_a_container_that_was_given_some_or_none(tmp_path: Path, targets: tuple[int, ...], state: str) -> None:
    machine = FakeMachine(tmp_path).kfd(*targets)
    found, (seen,) = amd.look(Refusing(tmp_path, machine.environ, "linux", "x86_64"))
    assert (len(found.gpus or ()), seen.state) == (len(targets) - 1, state)


@pytest.mark.parametrize(
    ("path", "text", "version"),
    [
        ("/opt/rocm/.info/version", "6.2.0-66\n", "6.2.0"),
        ("/opt/rocm-7.0.1/.info/version", "7.0.1\n", "7.0.1"),
        ("/opt/rocm/.info/version", "garbage", None),
        ("/opt/rocm/.info/version", "", None),
        ("/elsewhere/.info/version", "6.4.1-83", "6.4.1"),
    ],
)
def test_rocms_version(tmp_path: Path, path: str, text: str, version: str | None) -> None:
    machine = FakeMachine(tmp_path).file(path, text).env(ROCM_PATH="/elsewhere")
    assert look(machine)[0].rocm_version == version


def test_other_systems_are_not_asked(tmp_path: Path) -> None:
    found, (seen,) = amd.look(System(tmp_path, {}, "win32"))
    assert (found, seen.state) == (Amd(), "skipped")
