"""Commands that are printed fit the system and the user that they are for."""

import re

import pytest
from helpers.cases import MACHINES, examine, found, recorded

from envcheck.model.facts import Facts

UNIX = re.compile(r"\bsudo\b|\bdmesg\b|\bgrep\b|&&|\bexport |ldconfig|\bapt\b|/etc/|\bls -l|\btail\b|\bunset [A-Z]")
NAMES = [path.stem for path in sorted(MACHINES.glob("*.json"))]
LIKELY_ON_WINDOWS = {
    "nvml-hangs": "EC210",
    "gpu-not-initialised": "EC216",
    "gpu-fell-off-the-bus": "EC217",
    "inforom-corrupted": "EC218",
    "nvml-library-exits": "EC221",
    "vgpu-unlicensed": "EC232",
    "uvm-gone-after-suspend": "EC233",
    "one-gpu-unknown-error": "EC243",
    "compute-mode-prohibited": "EC408",
    "error-101-at-start": "EC410",
    "error-304-at-start": "EC411",
    "three-gpus-two-in-cuda": "EC419",
    "sw_compiler_new": "EC706",
}


def commands(facts: Facts) -> list[str]:
    return [fix.shell for finding in examine(facts).findings for fix in finding.fixes if fix.shell]


@pytest.mark.parametrize("name", [name for name in NAMES if recorded(name).host.os == "windows"])
def test_windows_gets_no_command_of_another_system(name: str) -> None:
    assert not [line for line in commands(recorded(name)) if UNIX.search(line)]


@pytest.mark.parametrize(("name", "code"), LIKELY_ON_WINDOWS.items())
def test_what_happens_on_windows_too_is_mended_there(name: str, code: str) -> None:
    windows = {"host__os": "windows", "host__os_name": "Windows 11 Pro", "host__wsl": False, "host__container": "none"}
    finding = found(recorded(name, **windows))[code]
    assert finding.fixes
    assert not [fix.shell for fix in finding.fixes if UNIX.search(fix.shell)]


@pytest.mark.parametrize("name", NAMES)
def test_root_is_not_told_to_use_sudo(name: str) -> None:
    lines = commands(recorded(name, host__admin=True))
    assert not [line for line in lines if re.search(r"\bsudo\b", line)]
    wanted = [line for line in commands(recorded(name, host__admin=False)) if not UNIX.search(line)]
    assert wanted == [line for line in lines if line in wanted], "nothing else changes"


def test_others_are() -> None:
    fixes = found(recorded("gpu-fell-off-the-bus", host__admin=False))["EC217"].fixes
    assert [fix.shell.split()[0] for fix in fixes if fix.shell] == ["sudo", "sudo"]
    root = found(recorded("gpu-fell-off-the-bus", host__admin=True))["EC217"].fixes
    assert [fix.argv for fix in root] == [(), ("reboot",), ()]


def test_a_container_does_not_restart_itself() -> None:
    fixes = found(recorded("gpu-fell-off-the-bus", host__container="docker"))["EC217"].fixes
    assert not [fix for fix in fixes if "reboot" in fix.shell]
    assert any("container" in fix.what.english() for fix in fixes)


@pytest.mark.parametrize("name", NAMES)
def test_another_way_begins_without_saying_so_twice(name: str) -> None:
    """The face writes "or" and "then" in front of a step."""
    for finding in examine(recorded(name)).findings:
        starts = [fix.what.english().split(maxsplit=1)[0].strip(",:") for fix in finding.fixes if fix.what.msgid]
        assert not {"Or", "Else", "Otherwise"} & set(starts), finding.code


@pytest.mark.parametrize(
    ("system", "command"),
    [
        ("Ubuntu 24.04.1 LTS", "sudo apt update && sudo apt install build-essential"),
        ("Fedora Linux 42", "sudo dnf install gcc gcc-c++"),
        ("Some Linux", ""),
    ],
)
def test_the_compiler_comes_as_the_system_has_it(system: str, command: str) -> None:
    facts = recorded("sw_compiler_missing", host__os="linux", host__os_name=system, host__admin=False)
    (fix,) = found(facts)["EC703"].fixes
    assert fix.shell == command
