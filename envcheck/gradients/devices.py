"""Devices against each other, and what a switch does on one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from envcheck.gradients.bits import split
from envcheck.gradients.formats import FORMATS, TF32_PRECISION, as_hex
from envcheck.model.gradients import Disagreement, GradientCase, GradientDevice


def disagreements(values: Mapping[str, Any], devices: Sequence[GradientDevice]) -> tuple[Disagreement, ...]:
    """Operations whose bits differ between devices of the same name, though each repeats its own."""
    alike: dict[tuple[str, str | None], list[GradientDevice]] = defaultdict(list)
    for device in devices:
        if device.kind != "cpu":
            alike[device.kind, device.name].append(device)
    found = []
    for group in alike.values():
        ops = _differing(values, group) if len(group) > 1 else []
        if ops:
            found.append(Disagreement(devices=tuple(device.device for device in group), ops=tuple(ops)))
    return tuple(found)


def _differing(values: Mapping[str, Any], group: Sequence[GradientDevice]) -> list[str]:
    bits: dict[str, set[bytes]] = defaultdict(set)
    unsteady = {
        f"{case.op}/{case.dtype}/{case.seed}" for device in group for case in device.cases if case.repeatable is False
    }
    for device in group:
        prefix = f"{device.device}/random/"
        for step, value in values.items():
            if step.startswith(prefix):
                bits[step[len(prefix) :]].add(split(value)[value["runs"][0]])
    return sorted({step.rpartition("/")[0] for step, seen in bits.items() if len(seen) > 1 and step not in unsteady})


def tf32_effect(found: Sequence[GradientCase], full: Sequence[GradientCase]) -> str | None:
    """The worst error with TF32 as it was found over the worst in full float32, both in the same unit."""
    unit = 2.0 ** (FORMATS["float32"].precision - TF32_PRECISION)
    errors = [float.fromhex(case.error) * unit for case in found if case.error]
    others = [
        float.fromhex(case.error) for case in full if case.layer == "random" and case.dtype == "float32" and case.error
    ]
    if not errors or not others or not max(others):
        return None
    return as_hex(max(errors) / max(others))
