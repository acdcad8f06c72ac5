"""GPUs in trouble, one error at a time: every return of NVML, every odd state has a code of its own."""

from typing import Any

import msgspec
import pytest
from helpers.cases import examine, found, recorded, severities

from envcheck.model.facts import Facts
from envcheck.probes.returncodes import NVML_CODES

TWO = "healthy-two-different-gpus"
GPUS: list[dict[str, Any]] = msgspec.to_builtins(recorded(TWO).nvidia.gpus)
TORCH = {
    "works": {"torch__device_count": 1, "torch__devices": msgspec.to_builtins(recorded(TWO).torch.devices)[:1]},
    "not looked at": {"torch__cuda_available": None, "torch__devices": None, "torch__device_count": None},
    "sees nothing": {"torch__cuda_available": False, "torch__devices": [], "torch__device_count": 0},
}
ECHOES = {"EC207", "EC401", "EC903"}
"""What is not the answer: an old driver, the symptom, a look that failed."""


def ill(indices: tuple[int, ...], error: str, torch: str) -> Facts:
    """The machine with two GPUs of which some answer with an error."""
    state = {"error": error, "error_call": "nvmlDeviceGetHandleByIndex_v2", "name": None}
    gpus = [{**gpu, **(state if gpu["index"] in indices else {})} for gpu in GPUS]
    return recorded(TWO, nvidia__gpus=gpus, **TORCH[torch])


def refused(code: int, torch: str, call: str = "nvmlInit_v2") -> Facts:
    """The same machine where a call for all GPUs fails."""
    status = {"api": "nvml", "call": call, "code": code, "name": NVML_CODES[code][0]}
    return recorded(TWO, nvidia__gpus=None, nvidia__cuda_versions=[], nvidia__statuses=[status], **TORCH[torch])


@pytest.mark.parametrize("torch", ["sees nothing", "not looked at"])
@pytest.mark.parametrize("code", NVML_CODES)
def test_every_return_of_nvml_has_a_code(code: int, torch: str) -> None:
    named = severities(refused(code, torch))
    assert [name for name, severity in named.items() if severity == "error" and name not in ECHOES], named


@pytest.mark.parametrize("torch", TORCH)
@pytest.mark.parametrize("error", sorted(name for name, _ in NVML_CODES.values()))
def test_every_state_of_a_gpu_has_a_code(error: str, torch: str) -> None:
    one = set(found(ill((1,), error, torch))) - ECHOES
    assert one
    assert "EC419" not in one
    if torch != "works":
        every = severities(ill((0, 1), error, torch))
        assert [name for name, severity in every.items() if severity == "error" and name not in ECHOES], every


def test_a_gpu_that_is_closed_to_a_job_is_a_hint_and_all_closed_is_an_error() -> None:
    some, every = ill((1,), "NO_PERMISSION", "works"), ill((0, 1), "NO_PERMISSION", "sees nothing")
    assert severities(some, "EC227") == {"EC227": "info"}
    assert found(some)["EC227"].title.english() == "1 of 2 GPUs are closed to this user or job"
    assert examine(every).primary == "EC227"
    in_job = msgspec.structs.replace(every, host=msgspec.structs.replace(every.host, scheduler="slurm"))
    assert found(in_job)["EC227"].fixes[0].shell == "srun --gres=gpu:1 --pty bash"


def test_a_driver_that_says_it_is_not_loaded_though_it_is() -> None:
    assert set(found(refused(9, "not looked at"))) & {"EC213", "EC243"} == {"EC243"}
    unloaded = recorded("unattended-upgrade-mismatch")
    assert "EC243" not in found(unloaded)


@pytest.mark.parametrize("torch", TORCH)
def test_a_card_that_left_the_bus_beside_one_that_works(torch: str) -> None:
    pci = msgspec.to_builtins(recorded(TWO).pci)
    gone = [{**card, "revision": "ff" if card["address"].endswith("65:00.0") else "a1"} for card in pci]
    beside = recorded(TWO, pci=gone, nvidia__gpus=GPUS[:1], **TORCH[torch])
    assert found(beside)["EC217"].title.english().startswith("The GPU at 0000:65:00.0")
    assert any("revision=ff" in item.value for item in found(beside)["EC217"].evidence)
    assert "EC217" not in found(recorded(TWO, pci=gone, **TORCH[torch])), "the driver lists it as healthy"
    assert "EC217" not in found(recorded(TWO, pci=pci, nvidia__gpus=GPUS[:1], **TORCH[torch]))


@pytest.mark.parametrize("state", ["not_started", "in_progress", "completed", "not_supported", None])
@pytest.mark.parametrize("torch", [None, False, True])
def test_links_that_are_not_up(state: str | None, torch: bool | None) -> None:
    hgx = "healthy-hgx-8xh100"
    gpus = [{**gpu, "fabric_state": state} for gpu in msgspec.to_builtins(recorded(hgx).nvidia.gpus)]
    facts = recorded(hgx, nvidia__gpus=gpus, torch__cuda_available=torch, host__fabric_manager=None)
    waits = state in ("not_started", "in_progress") and not torch
    assert ("EC208" in found(facts)) == waits
    if waits:
        again = found(facts)["EC208"].fixes[0].shell == "envcheck doctor"
        assert again == (state == "in_progress")
