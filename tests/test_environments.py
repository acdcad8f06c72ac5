"""Steps that lead to a Python that torch serves: each can be followed on that very machine."""

import pytest
from helpers.cases import found, recorded, said

from envcheck.model.facts import Facts

GONE = {"torch__installed": False, "torch__version": None, "torch__imported": None}


def lines(facts: Facts, code: str) -> list[str]:
    return [fix.shell for fix in found(facts)[code].fixes]


def test_the_systems_python_is_left_alone() -> None:
    shown = lines(recorded("debian-system-python", host__admin=False), "EC300")
    assert shown[:2] == ["sudo apt update && sudo apt install python3-venv", "/usr/bin/python3 -m venv .venv"]
    assert shown[2].startswith(".venv/bin/python -m pip install torch==")
    elsewhere = lines(recorded("debian-system-python", host__os_name="Fedora Linux 42"), "EC300")
    assert elsewhere[0] == "/usr/bin/python3 -m venv .venv"


def test_a_broken_torch_in_the_systems_python_is_replaced_by_one_in_an_environment() -> None:
    facts = recorded("sw_import_segfault", python__externally_managed=True, python__kind="system")
    shown = lines(facts, "EC313")
    assert not [line for line in shown if "uninstall" in line]
    assert any(line.startswith(".venv/bin/python -m pip install") for line in shown)
    in_venv = recorded("sw_import_segfault", python__externally_managed=True, python__kind="venv")
    assert not [line for line in lines(in_venv, "EC313") if line.startswith(".venv")]


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({"tools": [{"name": "uv"}]}, ["uv venv --python 3.14 .venv"]),
        ({"tools": []}, ["~/venv/bin/python -m pip install uv", "~/venv/bin/python -m uv venv --python 3.14 .venv"]),
        ({"tools": [], "python__has_pip": False}, ["", "uv venv --python 3.14 .venv"]),
        ({"tools": None}, ["uv venv --python 3.14 .venv"]),
        ({"tools": [{"name": "conda"}]}, ["conda create -n torch python=3.14", "conda activate torch"]),
        (
            {"tools": [{"name": "uv"}, {"name": "mamba"}], "python__kind": "conda"},
            ["mamba create -n torch python=3.14", "conda activate torch"],
        ),
    ],
)
def test_an_environment_is_made_with_what_is_there(changes: dict[str, object], begins: list[str]) -> None:
    shown = lines(recorded("python-3-16-before-torch", **changes), "EC102")
    assert shown[: len(begins)] == begins
    into = "" if "activate" in " ".join(begins) else " --python .venv/bin/python"
    assert shown[len(begins) :] == [f"envcheck install{into}"]


def test_a_python_that_is_too_old_for_uv_is_not_told_to_install_it() -> None:
    shown = lines(recorded("python-3-16-before-torch", tools=[], python__version="2.7.18"), "EC101")
    assert shown[:2] == ["", "uv venv --python 3.14 .venv"]


@pytest.mark.parametrize(
    ("machine", "code", "shown"),
    [
        (
            "windows-python-32-bit",
            "EC103",
            ["", "py -3.14 -m venv .venv", r"envcheck install --python .venv\Scripts\python.exe"],
        ),
        ("mac-rosetta-python", "EC111", ["", "python3.14 -m venv .venv", "envcheck install --python .venv/bin/python"]),
    ],
)
def test_another_kind_of_python_is_fetched_first(machine: str, code: str, shown: list[str]) -> None:
    assert lines(recorded(machine), code) == shown


def test_the_release_that_was_asked_for_is_kept() -> None:
    facts = said(
        "ERROR: Could not find a version that satisfies the requirement torch==1.13.1 "
        "(from versions: 2.2.0, 2.2.1, 2.2.2, 2.3.0)",
        python__version="3.12.3",
    )
    assert lines(facts, "EC102")[-1].endswith("--torch 1.13.1")


@pytest.mark.parametrize("machine", ["rx6600-without-override", "sw_cudnn_shadow", "sw_jetson_generic"])
def test_options_of_the_installer_are_no_steps(machine: str) -> None:
    for finding in found(recorded(machine)).values():
        assert not [fix.what.msgid for fix in finding.fixes if "--" in fix.what.msgid], finding.code
