"""Snapshots that are valid and absurd, hostile or broken: every face shows a report, or one clear line says why not."""

import json
import os
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from helpers.anything import values_of
from helpers.cli import Result, invoke
from hypothesis import HealthCheck, Verbosity, assume, given, settings
from hypothesis import strategies as st

from envcheck.model.codec import encode
from envcheck.model.errors import Exit
from envcheck.model.facts import FACTS_SCHEMA, Facts

MACHINES = sorted((Path(__file__).parent / "machines").glob("*.json"))
FACES = ("console", "json", "markdown")
ENDINGS = (Exit.OK, Exit.FINDING, Exit.UNKNOWN)
ODD_TEXTS = (
    *("", " ", "-", "+", "+cu126", "cu", "cu9999", "cu²²", "sm_", "sm_999a", "gfx", "v", "=", "torch==", "(((((", "["),
    *(
        "999999999999999999999",
        "9" * 5000,
        "-1",
        "0",
        "1.2.3.4.5.6.7.8",
        "١.٢",
        "³.²",
        "nan",
        "inf",
        "1e400",
        "-0x1p-2",
    ),
    *("\x1b[31mNVIDIA\x1b[0m", "\x9b2J", "cpu\u202egpj", "{0}{a.b}{", "%s%n", "a\nb\nError: c", "日本", "x" * 5000),
    *("~", "/", "\\", "C:\\x", "$USER", "https://u:p@h/x", "10de", "GPU-", "a,b,,c,0,0", "²", "0,²", "None", "True"),
)
ODD_NUMBERS = (0, 1, -1, 10**6, 2**62, -(2**62))


def through_every_face(facts: Facts, folder: Path, *words: str) -> list[Result]:
    """`doctor --from` on each face, with all that must hold of any snapshot."""
    source = folder / "snapshot.json"
    source.write_bytes(encode(facts))
    ended = [invoke("doctor", "--from", source, "--format", face, *words) for face in FACES]
    for one in ended:
        assert one.err == ""
        assert one.code in ENDINGS
        assert all(line.isprintable() for line in one.out.split("\n"))
    assert json.loads(ended[1].out)["schema"] == 1
    return ended


def can_be_written(facts: Facts) -> bool:
    try:
        encode(facts)
    except UnicodeEncodeError:  # half a character: no file holds it
        return False
    return True


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    """Of the schema that is read; a composite, since hypothesis would print the whole strategy otherwise."""
    facts: Facts = msgspec.structs.replace(draw(values_of(Facts)), schema=FACTS_SCHEMA)
    assume(can_be_written(facts))
    return facts


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet)
@given(any_facts(), st.sampled_from(["en", "zh"]))
def test_any_facts_at_all(tmp_path_factory: pytest.TempPathFactory, facts: Facts, language: str) -> None:
    through_every_face(facts, tmp_path_factory.getbasetemp(), "--lang", language, "-v")


# Recorded machines of which some facts are turned into something else --------------------------------------------


@cache
def recorded() -> list[Any]:
    return [json.loads(path.read_text("utf-8"))["facts"] for path in MACHINES]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Every value that is neither list nor mapping, with its path."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for number, item in enumerate(value) for leaf in leaves(item, (*path, number))]
    return [(path, value)]


@cache
def real_texts() -> list[str]:
    return sorted({value for facts in recorded() for _, value in leaves(facts) if isinstance(value, str)})


def other(value: Any, chance: Random) -> Any:
    """Something else of the same type, or nothing."""
    if chance.random() < 0.1:
        return None
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return type(value)(chance.choice(ODD_NUMBERS))
    return chance.choice(ODD_TEXTS if chance.random() < 0.6 else real_texts())


def turned(seed: int) -> Facts:
    """A recorded machine with between 1 and 30 values replaced; what the model refuses is put back."""
    chance = Random(seed)
    facts = json.loads(json.dumps(chance.choice(recorded())))
    for _ in range(chance.choice((1, 1, 2, 3, 8, 30))):
        (*rooms, last), value = chance.choice([leaf for leaf in leaves(facts) if leaf[0] != ("schema",)])
        at = facts
        for room in rooms:
            at = at[room]
        at[last] = other(value, chance)
        try:
            msgspec.convert(facts, Facts)
        except msgspec.ValidationError:
            at[last] = value
    return msgspec.convert(facts, Facts)


@pytest.mark.parametrize("part", range(4))
def test_a_machine_with_a_few_odd_facts(part: int, tmp_path: Path) -> None:
    for seed in range(part * 25, part * 25 + 25):
        through_every_face(turned(seed), tmp_path, "-v")


# Valid and absurd -------------------------------------------------------------------------------------------------


def hgx(**changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((MACHINES[0].parent / "healthy-hgx-8xh100.json").read_text("utf-8"))["facts"]
    for path, value in changes.items():
        *rooms, last = path.split("__")
        at = facts
        for room in rooms:
            at = at[room]
        at[last] = value
    return facts


def many_gpus(count: int) -> list[dict[str, Any]]:
    first = hgx()["nvidia"]["gpus"][0]
    return [{**first, "index": number, "name": f"GPU of kind {number}"} for number in range(count)]


LONG = "x" * 2**20
ABSURD: dict[str, dict[str, Any]] = {
    "ten thousand GPUs": hgx(nvidia__gpus=many_gpus(10_000)),
    "a version of a million digits": hgx(torch__version="9" * 2**20),
    "a driver of a million digits": hgx(nvidia__driver_versions=[{"value": "9" * 2**20, "look": "nvml"}]),
    "a path of a million letters": hgx(python__path="/" + LONG),
    "an error of a million letters": hgx(torch__imported=False, torch__error_text="Error: " + LONG),
    "a message of a million blanks": hgx(messages=[{"kind": "error", "text": " \t" * 2**19, "look": "torch"}]),
    "a variable of a million GPUs": hgx(variables=[{"name": "CUDA_VISIBLE_DEVICES", "value": "0," * 2**19}]),
    "memory below nothing": hgx(host__memory_bytes=-1, nvidia__gpus=[{**many_gpus(1)[0], "memory_bytes": -(2**60)}]),
    "a disk of an unknown role": hgx(host__disks=[{"role": "cellar", "path": "/", "free_bytes": -(2**62)}]),
    "fifty thousand looks": hgx(
        observations=[{"look": f"l{n}", "state": "failed", "detail": "x"} for n in range(50_000)]
    ),
    "looks that never agree": hgx(
        sightings={f"torch.x{n}": [{"value": str(k), "look": "text"} for k in range(99)] for n in range(999)}
    ),
    "looks that took for ever": hgx(observations=[{"look": "nvml", "state": "timeout", "ms": 1e308}]),
}


@pytest.mark.parametrize("kind", ABSURD)
def test_what_is_valid_and_absurd(kind: str, tmp_path: Path) -> None:
    console, _, markdown = through_every_face(msgspec.convert(ABSURD[kind], Facts), tmp_path)
    assert len(markdown.out) < 65536, "a thread takes no longer post"
    assert len(console.out) < 65536


def test_a_screen_counts_the_gpus_that_it_does_not_show(tmp_path: Path) -> None:
    console, *_ = through_every_face(msgspec.convert(hgx(nvidia__gpus=many_gpus(20)), Facts), tmp_path)
    assert console.out.count("GPU of kind") == 16
    assert "and 4 more" in console.out


# No file to be read -----------------------------------------------------------------------------------------------


def test_a_pipe_that_nobody_writes_to_is_one_clear_line(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ended = invoke("doctor", "--from", pipe)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert ended.err.splitlines()[0] == f"error: a pipe that nobody writes to ({pipe})"
    assert len(ended.err.splitlines()) == 2


def test_a_pipe_that_somebody_writes_to_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(pipe, os.O_WRONLY)
    os.write(writing, b">>> import torch\n>>> torch.__version__\n'2.4.1+cpu'\n")
    os.close(writing)
    ended = invoke("doctor", "--from", pipe)
    os.close(reading)
    assert "2.4.1+cpu" in ended.out
