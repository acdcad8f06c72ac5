"""Hostile and broken text through the whole of `doctor --from`: no exception, and the longest time and most memory."""

import json
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.result import Ratio, Result, Row, result

RAW = Path(__file__).resolve().parent.parent / "tests" / "raw"
SECONDS, MEBIBYTES = 1.0, 200
_STRANGE = ("\x1b[31m", "\u202e", "\x00", "\x85", "\ud800", "\u200b", "\r", "&amp;", "<b>", "`", "[/bold]", "\xff")


def run(runs: int, *arguments: str) -> Result:
    """`arguments`: how many inputs (20000) and the seed (1)."""
    del runs
    count = int(arguments[0]) if arguments else 20_000
    draw = random.Random(int(arguments[1]) if len(arguments) > 1 else 1)
    texts = _texts()
    slowest, longest, failed = 0.0, "", []
    whole = _whole()
    whole(texts[0])
    before = _peak()
    for number in range(count):
        text = generate(draw, texts)
        begin = time.process_time()
        try:
            whole(text)
        except Exception as error:  # noqa: BLE001 (any exception is what is looked for)
            failed.append(f"input {number}: {type(error).__name__}: {error}"[:200])
        took = time.process_time() - begin  # of the processor: other programs' turns do not count
        if took > slowest:
            slowest, longest = took, f"input {number}, {len(text)} characters"
    grown = _peak() - before
    share = grown / MEBIBYTES
    rows = [Row(name="inputs", figures={"count": count, "exceptions": len(failed), "peak growth MiB": round(grown)})]
    ratios = [
        Ratio(name=f"slowest input against {SECONDS:.0f} s", median=slowest, least=slowest, greatest=slowest, bar=1.0),
        Ratio(name=f"memory against {MEBIBYTES} MiB", median=share, least=share, greatest=share, bar=1.0),
    ]
    return result("robust", rows, ratios=ratios, notes=[longest, *failed[:20]])


def generate(draw: random.Random, texts: list[str]) -> str:
    """One input: real texts cut, mixed, interleaved, with characters changed, put in, doubled or drawn out."""
    return draw.choice(_WAYS)(draw, texts)


def _cut(draw: random.Random, texts: list[str]) -> str:
    text = draw.choice(texts)
    return text[draw.randrange(len(text) + 1) :]


def _interleaved(draw: random.Random, texts: list[str]) -> str:
    one, other = (draw.choice(texts).split("\n") for _ in range(2))
    return "\n".join(line for pair in zip(one, other, strict=False) for line in pair)


def _shuffled(draw: random.Random, texts: list[str]) -> str:
    lines = [line for text in draw.sample(texts, 4) for line in text.split("\n")]
    draw.shuffle(lines)
    return "\n".join(lines)


def _drawn_out(draw: random.Random, texts: list[str]) -> str:
    text = draw.choice(texts)
    return draw.choice(text or " ") * draw.choice((1, 500, 20_000, 300_000)) + text


def _joined(draw: random.Random, texts: list[str]) -> str:
    return draw.choice(texts).replace("\n", draw.choice(("", "\r", "\t", " | ", "\x00"))) * draw.randrange(1, 40)


def _foreign(draw: random.Random, texts: list[str]) -> str:
    return "".join(chr(draw.randrange(1, 0x2FFF)) for _ in range(draw.randrange(4000))) + draw.choice(texts)


def _nested(draw: random.Random, texts: list[str]) -> str:
    return draw.choice(("> " * 400, "(" * 800, "[" * 800, "|" * 3000, '"' * 999)) + draw.choice(texts)


def _mutated(draw: random.Random, texts: list[str]) -> str:
    letters = list(draw.choice(texts))
    for _ in range(draw.randrange(1, 200)):
        at = draw.randrange(len(letters) + 1)
        letters[at : at + draw.randrange(3)] = draw.choice((draw.choice(_STRANGE), chr(draw.randrange(32, 127)), ""))
    return "".join(letters)


_WAYS = (_cut, _interleaved, _shuffled, _drawn_out, _joined, _foreign, _nested, _mutated)


def _texts() -> list[str]:
    from benchmarks.diagnosis import text_of

    rows = {
        name: [json.loads(line) for line in (RAW / name).read_text(encoding="utf-8").splitlines()]
        for name in ("evidence.jsonl", "cases.jsonl", "cases_more.jsonl")
    }
    samples = [str(row["text"]) for row in rows.pop("evidence.jsonl")]
    return samples + [text_of(row) for cases in rows.values() for row in cases]


def _whole() -> Callable[[str], None]:
    from envcheck.commands.doctor import render
    from envcheck.commands.looking import examine
    from envcheck.commands.world import World
    from envcheck.diagnosis.evidence import read

    world = World()
    faces = ("console", "json", "markdown")
    turn = iter(range(10**9))

    def whole(text: str) -> None:
        examination = examine(world, read(text))
        render(world, examination, faces[next(turn) % 3], verbose=False)

    return whole


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
