"""The whole doctor against the naive check, collect_env and the peers, also with a slow nvidia-smi."""

import os
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.measure import Command, Sample, executable, interleaved, median, ratios
from benchmarks.peers import PEERS, available, ours, python
from benchmarks.result import Ratio, Result, Row, result

FLOOR = "import torch; is_available()"
COLLECT = "python -m torch.utils.collect_env"
OURS = "envcheck doctor"
PEER_COMMANDS = (
    ("accelerate", ("env",)),
    ("env-doctor", ("check",)),
    ("cuda-doctor", ("diagnose",)),
    ("mlenvdoctor", ("diagnose",)),
    ("torchruntime", ("test", "devices")),
)
SLOW_BARS = {0.1: 0.55, 1.0: 0.35}


def run(runs: int) -> Result:
    """All in turn, then ours and collect_env beside an nvidia-smi that takes 0.1 s and 1 s."""
    commands = [
        python("-c", "import torch; torch.cuda.is_available()", label=FLOOR),
        ours("doctor"),
        python("-m", "torch.utils.collect_env", label=COLLECT),
    ]
    peers, absent = available(PEER_COMMANDS)
    commands += peers
    samples = interleaved(commands, runs=runs)
    rows = [_row(one.name, samples[one.name]) for one in commands]
    found = [
        _ratio(samples, FLOOR, bar=0.85),
        _ratio(samples, COLLECT, bar=0.65),
        _ratio(samples, COLLECT, bar=0.70, field="cpu"),
        *(_ratio(samples, one.name, bar=0.70) for one in commands[3:]),
    ]
    for seconds, bar in SLOW_BARS.items():
        slow_rows, slow_ratio = _slow_smi(seconds, bar, runs)
        rows += slow_rows
        found.append(slow_ratio)
    versions = {name: PEERS[name].requirement.partition("==")[2] for name, _ in PEER_COMMANDS}
    return result("doctor", rows, ratios=found, versions=versions | {"torch": _torch_version()}, notes=absent)


def _slow_smi(seconds: float, bar: float, runs: int) -> tuple[list[Row], Ratio]:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nsleep {seconds}\necho 'No devices were found'\nexit 6\n", encoding="utf-8")
        program.chmod(0o755)
        path = {"PATH": folder + os.pathsep + os.environ.get("PATH", "")}
        pair = [
            msgspec.structs.replace(ours("doctor"), env=path),
            msgspec.structs.replace(python("-m", "torch.utils.collect_env", label=COLLECT), env=path),
        ]
        samples = interleaved(pair, runs=runs)
    suffix = f" (nvidia-smi takes {seconds:g} s)"
    rows = [_row(one.name + suffix, samples[one.name]) for one in pair]
    middle, least, greatest = ratios(samples[OURS], samples[COLLECT])
    return rows, Ratio(name=f"{OURS} / {COLLECT}{suffix}", median=middle, least=least, greatest=greatest, bar=bar)


def _row(name: str, samples: list[Sample]) -> Row:
    codes = "/".join(str(code) for code in sorted({sample.returncode for sample in samples}))
    return Row(
        name=name,
        figures={
            "wall s": median(samples),
            "cpu s": median(samples, "cpu"),
            "peak MiB": round(median(samples, "peak_kib") / 1024),
            "exit": codes,
        },
    )


def _ratio(samples: dict[str, list[Sample]], other: str, *, bar: float, field: str = "wall") -> Ratio:
    middle, least, greatest = ratios(samples[OURS], samples[other], field)
    name = f"{OURS} / {other}" + ("" if field == "wall" else f", {field}")
    return Ratio(name=name, median=middle, least=least, greatest=greatest, bar=bar)


def _torch_version() -> str:
    import importlib.metadata

    return importlib.metadata.version("torch")


def commands() -> list[Command]:
    """Collect_env's and the peers' commands that can run here; for `faults`.

    collect_env runs in a peer's interpreter: there torch can be taken away.
    """
    peers, _ = available(PEER_COMMANDS)
    inside = executable(Path(peers[0].argv[0]).parent.parent, "python") if peers else sys.executable
    return [Command(name=COLLECT, argv=(inside, "-m", "torch.utils.collect_env")), *peers]
