"""Broken machines: who still reports, after how long, and whether the cause is named."""

import json
import os
import re
import tempfile
from pathlib import Path

import msgspec

from benchmarks.doctor import commands
from benchmarks.measure import Sample
from benchmarks.measure import run as run_once
from benchmarks.peers import PEERS, WITHOUT_TORCH, ours
from benchmarks.result import Ratio, Result, Row, result

LIMIT = 20.0
DEADLINE = 5.0


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One broken machine: what torch's `__init__` does, what nvidia-smi does, and words that name the cause."""

    name: str
    torch: str | None = None
    smi: str | None = None
    without_torch: bool = False
    names: str
    """A pattern: a report that names the cause holds it."""
    code: str
    """Envcheck's primary code; where nothing keeps torch from working, the code of a finding."""


def faults() -> list[Fault]:
    """The table beside this module."""
    table = (Path(__file__).parent / "faults.toml").read_bytes()
    return msgspec.toml.decode(table, type=dict[str, list[Fault]])["fault"]


def run(runs: int) -> Result:
    """`runs` is not used: each cell is one run."""
    del runs
    rows: list[Row] = []
    slowest = 0.0
    named = total = 0
    for fault in faults():
        with tempfile.TemporaryDirectory() as folder:
            env = _broken(fault, Path(folder))
            mine = msgspec.structs.replace(
                ours("doctor", "--format", "json", "--deadline", str(DEADLINE), *_target(fault, Path(folder))), env=env
            )
            sample = run_once(mine, limit=LIMIT)
            cell, right = _judge_ours(fault, sample)
            figures: dict[str, float | int | str] = {"envcheck": cell}
            total, named = total + 1, named + right
            slowest = max(slowest, sample.wall)
            for one in commands():
                figures[one.name] = _judge(fault, run_once(msgspec.structs.replace(one, env=env), limit=LIMIT))
            rows.append(Row(name=fault.name, figures=figures))
    missed = float(total - named)
    found = [
        _figure("cells in which envcheck does not name the cause", missed, 0),
        _figure(f"seconds of envcheck's slowest cell, with --deadline {DEADLINE:g}", slowest, DEADLINE + 0.3),
    ]
    legend = "R: a report (R+: its cause named); T: only a traceback or an error; S: killed by a signal; H: hung"
    notes = [
        f"{legend} for {LIMIT:g} s. Seconds behind the letter, then envcheck's primary code.",
        "A peer's + means that its text holds a word for the cause; envcheck's that the finding has the cause's code.",
    ]
    versions = {name: peer.requirement.partition("==")[2] for name, peer in PEERS.items() if peer.needs_torch}
    return result("faults", rows, ratios=found, versions=versions, notes=notes)


def _figure(name: str, value: float, bar: float) -> Ratio:
    return Ratio(name=name, median=value, least=value, greatest=value, bar=bar)


def _broken(fault: Fault, folder: Path) -> dict[str, str]:
    env: dict[str, str] = {}
    if fault.torch is not None:
        package = folder / "site" / "torch"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(fault.torch + "\n", encoding="utf-8")
        (package / "version.py").write_text("__version__ = '2.13.0+cpu'\ncuda = None\n", encoding="utf-8")
        info = folder / "site" / "torch-2.13.0+cpu.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\n", encoding="utf-8")
        env["PYTHONPATH"] = str(folder / "site")
    if fault.smi is not None:
        program = folder / "bin" / "nvidia-smi"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{fault.smi}\n", encoding="utf-8")
        program.chmod(0o755)
        env["PATH"] = str(program.parent) + os.pathsep + os.environ.get("PATH", "")
    if fault.without_torch:
        env[WITHOUT_TORCH] = "1"
    return env


def _target(fault: Fault, folder: Path) -> tuple[str, ...]:
    """Where torch is absent or broken, envcheck examines an environment that has no other torch."""
    if not fault.without_torch and fault.torch is None:
        return ()
    import venv

    venv.create(folder / "bare", with_pip=False)
    return ("--python", str(folder / "bare"))


def _judge_ours(fault: Fault, sample: Sample) -> tuple[str, bool]:
    try:
        report = json.loads(sample.output)["report"]
    except (ValueError, KeyError):
        return _letter(sample) + f" {sample.wall:.1f}", False
    primary = report.get("primary") or {}
    said = [primary] if primary else report["findings"]
    named = [one for one in said if one["code"] == fault.code]
    right = bool(named and re.search(fault.names, json.dumps(named, ensure_ascii=False), re.IGNORECASE))
    return f"R{'+' if right else ''} {sample.wall:.1f} {primary.get('code', '')}".strip(), right


def _judge(fault: Fault, sample: Sample) -> str:
    letter = _letter(sample)
    if letter == "R" and re.search(fault.names, sample.output, re.IGNORECASE):
        letter = "R+"
    return f"{letter} {sample.wall:.1f}"


def _letter(sample: Sample) -> str:
    if sample.timed_out:
        return "H"
    if sample.returncode < 0 or sample.returncode in (134, 139):
        return "S"
    text = sample.output.strip()
    lines = [line for line in text.splitlines() if len(set(line.strip())) > 1]  # no filling, no ruled line
    only_error = "Traceback (most recent call last)" in text and len(lines) < 60
    return "T" if only_error or len(lines) < 3 else "R"
