"""All looks under one budget: complete facts whatever one of them does."""

import time
from pathlib import Path

import pytest
from helpers import faketorch

from envcheck import __version__
from envcheck.model.codec import decode, encode
from envcheck.model.facts import Facts
from envcheck.probes import amd, host, nvidia, settings
from envcheck.probes.collect import Options, collect
from envcheck.probes.system import System

LOOKS = {"files", "nvml", "libcuda", "smi", "host", "pci", "kfd", "settings", "proxies", "interpreter", "torch"}


class Watch:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def began(self, look: str) -> None:
        self.told.append(("began", look))

    def ended(self, look: str) -> None:
        self.told.append(("ended", look))


def states(facts: Facts) -> dict[str, str]:
    return {seen.look: seen.state for seen in facts.observations}


def test_every_look_leaves_an_observation(tmp_path: Path, environ: dict[str, str], bare_python: str) -> None:
    watch = Watch()
    facts = collect(System(environ=environ), Options(python=bare_python, deadline=30, watch=watch))
    assert set(states(facts)) >= LOOKS
    assert facts.redacted
    assert facts.taken_by == f"envcheck {__version__}"
    assert facts.source == "live"
    assert None not in (facts.packages, facts.variables, facts.settings, facts.tools, facts.proxies, facts.routes)
    assert decode(encode(facts).decode()) == facts
    began, ended = ({look for kind, look in watch.told if kind == which} for which in ("began", "ended"))
    assert began == ended == {"interpreter", "driver", "host", "amd", "settings", "torch"}


def test_without_torch_nothing_is_imported(tmp_path: Path, environ: dict[str, str], bare_python: str) -> None:
    site = faketorch.write(tmp_path / "site", fault="segv")
    system = System(environ=environ | {"PYTHONPATH": str(site)})
    facts = collect(system, Options(python=bare_python, deadline=30, torch=False))
    seen = facts.observation("torch")
    assert seen is not None
    assert (seen.state, seen.detail) == ("skipped", "not asked for")
    assert (facts.torch.installed, facts.torch.version, facts.torch.imported) == (True, "2.6.0+cu124", None)


@pytest.mark.parametrize(
    ("room", "name", "look"),
    [(host, "look", "host"), (amd, "look", "amd"), (nvidia, "start", "driver"), (settings, "look", "settings")],
)
def test_a_look_that_fails_or_hangs_costs_its_own_answer(
    environ: dict[str, str], bare_python: str, monkeypatch: pytest.MonkeyPatch, room: object, name: str, look: str
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("odd file")

    monkeypatch.setattr(room, name, fail)
    facts = collect(System(environ=environ), Options(python=bare_python, deadline=30))
    seen = facts.observation(look)
    assert seen is not None
    assert (seen.state, seen.detail) == ("failed", "LookupError: odd file")
    assert facts.python.version is not None

    monkeypatch.setattr(room, name, lambda *_: time.sleep(60))
    begun = time.monotonic()
    facts = collect(System(environ=environ), Options(python=bare_python, deadline=1.5))
    assert time.monotonic() - begun < 2.0
    assert states(facts)[look] == "timeout"
    assert states(facts)["interpreter"] == "ok"


def test_the_variables_of_the_list_and_no_others(environ: dict[str, str], bare_python: str) -> None:
    more = {
        "CUDA_VISIBLE_DEVICES": "",
        "PYTORCH_CUDA_ALLOC_CONF": "x:1",
        "AWS_SECRET_ACCESS_KEY": "abc",
        "EDITOR": "vi",
    }
    facts = collect(System(environ=environ | more), Options(python=bare_python, deadline=30, torch=False))
    assert [(v.name, v.value) for v in facts.variables or ()] == [
        ("CUDA_VISIBLE_DEVICES", ""),
        ("PYTORCH_CUDA_ALLOC_CONF", "x:1"),
    ]


def test_no_worker_is_left_when_it_is_interrupted(
    tmp_path: Path, environ: dict[str, str], bare_python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("envcheck.probes.interpreter.pip_python", interrupt)
    site = faketorch.write(tmp_path / "site", fault="hang")
    system = System(environ=environ | {"PYTHONPATH": str(site), "MARK": f"M{tmp_path}"})
    with pytest.raises(KeyboardInterrupt):
        collect(system, Options(python=bare_python, deadline=30))
    assert faketorch.left_behind(f"M{tmp_path}") == []
