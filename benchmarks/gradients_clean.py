"""False alarms: sound runs over seeds, threads, oneDNN on and off, in this process's processor capability.

    python -m benchmarks.gradients_clean FIRST COUNT FILE

Appends a line of JSON to FILE for each seed: how many runs, which cases were not right, and the largest deviations.
One run is the random layer and a third of the exact cases (the next third with the next seed), every pass in every
dtype; every tenth seed has the large batches too. The lesson, the probe and the float64 references are part of the
first of a seed's four runs.
"""

import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from envcheck.gradients.exact import RECIPES
from envcheck.gradients.judge_exact import Book

RIGHT = ("ok", "unsupported", "inexact")
"""`inexact`: NNPACK's convolutions, which come into use where oneDNN is off."""

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
# Threads that wait without spinning, as in the worker.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def runs_of(seed: int) -> Iterator[tuple[str, Any]]:
    """The runs of one seed: two thread counts, oneDNN on and off."""
    from helpers.backprop import ask_of, measure, mkldnn_set

    from envcheck.gradients.judge import judge

    ask = ask_of(tuple(RECIPES)[seed % 3 :: 3], seed=seed, large=seed % 10 == 0)
    book = Book(ask.exact, ask.large, ask.pool)
    once = ("reference", "cpu/lesson", "cpu/precision", "cpu/elementwise")
    references: dict[str, Any] = {}
    for threads in (1, 2):
        for on in (True, False):
            with mkldnn_set(on):
                found = measure(ask, threads=threads, skip=once if references else ())
            references = references or {step: found.values[step] for step in found.values if step[:10] == "reference/"}
            found = msgspec.structs.replace(found, values={**references, **found.values})
            yield f"threads {threads}, oneDNN {'on' if on else 'off'}", judge(found, book)


def summary(seed: int) -> dict[str, Any]:
    """One line for one seed."""
    import torch

    alarms, runs, cases = [], 0, 0
    largest: dict[str, list[float]] = {}
    for mode, found in runs_of(seed):
        device = found.devices[0]
        runs += 1
        cases += len(device.cases)
        wrong = [f"{case.layer} {case.op} {case.dtype}" for case in device.cases if case.outcome not in RIGHT]
        unsteady = [f"unsteady {case.op} {case.dtype}" for case in device.cases if case.repeatable is False]
        doubtful = [f"reference {one.op}" for one in found.references if not one.ok]
        if device.verdict != "trusted" or wrong or doubtful or unsteady:
            alarms.append([mode, device.verdict, *wrong, *doubtful, *unsteady])
        for case in device.of("random"):
            known = largest.setdefault(f"{case.op}/{case.dtype}", [0.0, 0.0])
            known[0] = max(known[0], float.fromhex(case.error or "0"))
            known[1] = max(known[1], float.fromhex(case.slope or "0"))
    capability = torch.backends.cpu.get_cpu_capability()
    return {"seed": seed, "capability": capability, "runs": runs, "cases": cases, "alarms": alarms, "largest": largest}


def main(first: int, count: int, path: str) -> None:
    """Every seed in turn, each on a line as soon as it is done."""
    warnings.simplefilter("ignore")
    for seed in range(first, first + count):
        line = json.dumps(summary(seed))
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
