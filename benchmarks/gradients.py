"""verify-backprop: its time and memory, the faults that it notices beside others, its false alarms.

python -m benchmarks gradients time            whole processes against `import torch`
python -m benchmarks gradients mutants         faults, beside assert_close and gradcheck
python -m benchmarks gradients clean 0 640     sound runs: seeds 0 to 639 (four runs each, in two capabilities)
python -m benchmarks gradients                 all three, with fewer seeds
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

from benchmarks.measure import Command, Sample, interleaved, median
from benchmarks.measure import run as run_once
from benchmarks.peers import ours, python
from benchmarks.result import Result, Row, result

FRESH = 100_000
"""Seeds from here on were never looked at when the limits were chosen."""
CAPABILITIES = ("default", "avx2")
TIME_BAR, MEMORY_BAR = 1.0, 300.0
_IMPORT = "python -c 'import torch'"


def run(runs: int, part: str = "", first: str = str(FRESH), count: str = "20") -> Result:
    """One part, or all of them under each other."""
    if part == "time":
        return time(runs)
    if part == "mutants":
        from benchmarks.gradients_mutants import run as mutants

        return mutants()
    if part == "clean":
        return clean(int(first), int(count))
    parts = [time(runs), run(runs, "mutants"), clean(int(first), int(count))]
    # The rows of faults and of sound runs are for those who ask for that part; their sums are in the notes.
    notes = tuple(note for one in parts for note in one.notes)
    return msgspec.structs.replace(parts[0], benchmark="gradients", notes=notes)


def time(runs: int) -> Result:
    """Whole processes in turn; the median difference of the pairs is what the check adds to `import torch`."""
    floor, whole = python("-c", "import torch", label=_IMPORT), ours("verify-backprop")
    samples = interleaved([floor, whole], runs=runs)
    failed = [sample for found in samples.values() for sample in found if sample.returncode]
    assert not failed, failed[0].output
    differences = [b.wall - a.wall for a, b in zip(samples[floor.name], samples[whole.name], strict=True)]
    added = statistics.median(differences)
    peak = (_worker_peak() - median(samples[floor.name], "peak_kib")) / 1024
    rows = [_row(one.name, samples[one.name]) for one in (floor, whole)]
    notes = [
        f"verify-backprop takes {added:.2f} s beyond `import torch` (median of the pairs, {min(differences):.2f} to "
        f"{max(differences):.2f}); bar {TIME_BAR} s, " + ("holds" if added <= TIME_BAR else "**missed**"),
        f"its worker's peak memory is {peak:.0f} MiB above `import torch`; bar {MEMORY_BAR:.0f} MB, "
        + ("holds" if peak * 1.048576 <= MEMORY_BAR else "**missed**"),
    ]
    return result("gradients: time", rows, notes=notes)


def _row(name: str, samples: list[Sample]) -> Row:
    return Row(
        name=name,
        figures={
            "wall s": median(samples),
            "least s": min(one.wall for one in samples),
            "CPU s": median(samples, "cpu"),
        },
    )


def _worker_peak() -> float:
    """KiB that the worker takes at its peak, started as verify-backprop starts it."""
    from envcheck.gradients.ask import MAIN, make_ask, script

    program, beside = script()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in {MAIN: program, **beside}.items():
            (folder / file).write_text(text, encoding="utf-8")
        (folder / "ask.json").write_bytes(msgspec.json.encode(make_ask()))
        (folder / "events.jsonl").touch()
        sample = run_once(Command(name="worker", argv=(sys.executable, "-B", str(folder / MAIN))))
    assert sample.returncode == 0, sample.output
    return sample.peak_kib


def clean(first: int, count: int) -> Result:
    """Sound runs; a line of figures for each operation and dtype."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clean.jsonl"
        for capability in CAPABILITIES:
            sweep(first, count, path, capability)
        return tabulate(path)


def sweep(first: int, count: int, path: Path, capability: str) -> None:
    """One process over those seeds in one processor capability."""
    env = {**os.environ} | ({} if capability == "default" else {"ATEN_CPU_CAPABILITY": capability})
    command = [sys.executable, "-m", "benchmarks.gradients_clean", str(first), str(count), str(path)]
    subprocess.run(command, check=True, env=env, cwd=Path(__file__).resolve().parent.parent)


def tabulate(path: Path) -> Result:
    """The table of what `benchmarks.gradients_clean` wrote."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    largest: dict[str, list[float]] = {}
    for line in lines:
        for name, (error, slope) in line["largest"].items():
            known = largest.setdefault(name, [0.0, 0.0])
            known[0], known[1] = max(known[0], error), max(known[1], slope)
    rows = [Row(name=name, figures={"error": error, "slope": slope}) for name, (error, slope) in largest.items()]
    runs: Counter[str] = Counter()
    for line in lines:
        runs[line["capability"]] += line["runs"]
    alarms = [f"seed {line['seed']} {line['capability']}: {alarm}" for line in lines for alarm in line["alarms"]]
    seeds = [line["seed"] for line in lines]
    counted = (
        f"{sum(runs.values())} runs ({', '.join(f'{name} {number}' for name, number in sorted(runs.items()))}), seeds "
        f"{min(seeds)} to {max(seeds)}, {sum(line['cases'] for line in lines)} cases; false alarms: {len(alarms)}"
    )
    return result("gradients: sound runs", rows, notes=[counted, *alarms[:20]])
