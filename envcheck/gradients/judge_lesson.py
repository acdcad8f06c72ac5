"""Judge the lesson: what torch computed on a device, held against plain Python numbers, bit for bit."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from envcheck.gradients import lesson
from envcheck.gradients.formats import as_hex, ulps
from envcheck.model.gradients import GradientCase, Parting
from envcheck.model.lesson import Loop

STEP = ("loss", "gradient of w", "w")


@cache
def _loop(dtype: str) -> Loop:
    return lesson.train(dtype)


def judge_lesson(dtype: str, value: Mapping[str, Any]) -> list[GradientCase]:
    """The chain rule, the net of two layers and the loop y = w * x."""
    chain = [("one path", lesson.one_path().derivative), ("two paths", lesson.two_paths().derivative)]
    true = lesson.net_pass()
    net = [("loss", true.loss, value["net_loss"])]
    for name, numbers in true.gradients.items():
        seen = value["net"][name]
        net += [(name, number, got) for number, got in zip(numbers, seen, strict=True)]
    return [
        _case(
            "chain rule", dtype, [(leg, number, got) for (leg, number), got in zip(chain, value["chain"], strict=True)]
        ),
        _case("two layers by hand", dtype, net),
        _case("y = w * x", dtype, _trajectory(dtype, value)),
    ]


def _trajectory(dtype: str, value: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    loop = _loop(dtype)
    numbers = [number for step in loop.steps for number in (step.loss, step.gradient, step.w)]
    legs = [f"{STEP[place % 3]}, step {place // 3 + 1}" for place in range(len(numbers))]
    return [
        ("prediction before", loop.before, value["before"]),
        *zip(legs, numbers, value["steps"], strict=True),
        ("prediction after", loop.after, value["after"]),
    ]


def _case(op: str, dtype: str, rows: Sequence[tuple[str, float, str]]) -> GradientCase:
    wrong = [(leg, true, got) for leg, true, got in rows if float.fromhex(got) != true]
    found = None
    if wrong:
        leg, true, got = wrong[0]
        found = Parting(
            leg=leg,
            expected=as_hex(true),
            got=got,
            ulps=ulps(true, float.fromhex(got), dtype),
            wrong=len(wrong),
            size=len(rows),
        )
    return GradientCase(layer="lesson", op=op, dtype=dtype, outcome="wrong" if wrong else "ok", parting=found)
