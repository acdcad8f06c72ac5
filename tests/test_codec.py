"""Snapshots: back to the very same facts, or one clear line about what is wrong and where."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envcheck.model.codec import LARGEST, decode, encode
from envcheck.model.errors import EnvcheckError, Exit
from envcheck.model.facts import FACTS_SCHEMA, Facts, Gpu, Host, Message, Nvidia, Python, Sighting, Variable

FACTS = Facts(
    host=Host(os="linux", os_name="Ubuntu \u202e 22.04"),
    nvidia=Nvidia(gpus=(Gpu(index=0, name="\x1b[31mGPU"),), driver_versions=(Sighting(value="535.1", look="nvml"),)),
    python=Python(version="3.11.7", shadows=()),
    variables=(Variable(name="CUDA_VISIBLE_DEVICES", value=None),),
    messages=(Message(kind="error", text="é\n", look="torch"),),
    sightings={"torch.version": (Sighting(value="2.6", look="text"),)},
)
TEXT = encode(FACTS).decode()


def refusal(text: str, where: str = "a.json") -> EnvcheckError:
    with pytest.raises(EnvcheckError) as caught:
        decode(text, where=where)
    assert caught.value.code == Exit.USAGE
    assert caught.value.mend is not None
    assert "\n" not in caught.value.what.english()
    return caught.value


def test_there_and_back() -> None:
    assert decode(TEXT) == FACTS
    assert TEXT.endswith("}\n")
    assert json.loads(TEXT)["schema"] == FACTS_SCHEMA


def test_the_facts_of_a_report() -> None:
    report = {"schema": 1, "envcheck": "0.1.0", "facts": json.loads(TEXT), "report": {"verdict": "healthy"}}
    assert decode(json.dumps(report)) == FACTS
    report["facts"]["python"]["version"] = 3
    assert refusal(json.dumps(report)).where == "a.json: $.facts.python.version"


@pytest.mark.parametrize("length", range(1, len(TEXT) - 2, 97))
def test_a_truncated_snapshot(length: int) -> None:
    error = refusal(TEXT[:length])
    assert "too early" in error.what.english() or "not valid JSON" in error.what.english()
    assert error.where == f"a.json: line {TEXT[:length].count(chr(10)) + 1}"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"host": 7}, "$.host"),
        ({"host": {"os": "beos"}}, "$.host.os"),
        ({"nvidia": {"gpus": [{"index": "0"}]}}, "$.nvidia.gpus[0].index"),
        ({"python": {"bits": 64.5}}, "$.python.bits"),
        ({"unheard_of": 1}, "$"),
        ({"messages": [{"kind": "error"}]}, "$.messages[0]"),
        ({"schema": 0}, "$.schema"),
        ({"schema": True}, "$.schema"),
        ({"schema": None}, "$.schema"),
        ({"schema": "1"}, "$.schema"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(change: dict[str, object], where: str) -> None:
    assert refusal(json.dumps(json.loads(TEXT) | change)).where == f"a.json: {where}"


@pytest.mark.parametrize("schema", [FACTS_SCHEMA + 1, 10**30])
def test_a_newer_schema(schema: int) -> None:
    error = refusal(json.dumps({"schema": schema, "whatever": 1}))
    assert str(schema) in error.what.english()
    assert error.mend is not None
    assert error.mend.english() == "update envcheck"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "[]",
        "null",
        "7",
        '"x"',
        "{}",
        "[" * 100_000,
        "{" * 100_000,
        '{"a":' * 100_000,
        "\ud800",
        '{"schema": NaN}',
        "nonsense",
        '{"schema": 1} x',
        '{"schema": 1e999}',
        '{"schema": "\\ud800"}',
    ],
)
def test_what_is_no_snapshot(text: str) -> None:
    refusal(text)


def test_a_huge_one_is_not_even_read() -> None:
    assert "16 MiB" in refusal(" " * (LARGEST + 1)).what.english()


def test_the_place_without_a_name() -> None:
    assert refusal('{\n"schema": 1,\n', where="").where == "line 3"
    assert refusal('{"schema": 1, "pci": 4}', where="").where == "$.pci"


@given(st.text())
def test_any_text(text: str) -> None:
    with pytest.raises(EnvcheckError) as caught:  # text drawn at random is never a snapshot
        decode(text)
    assert caught.value.what.english()


@given(st.integers(0, len(TEXT) - 1), st.sampled_from('{}[]",:0n\\\x00é'))
def test_one_wrong_letter(place: int, letter: str) -> None:
    try:
        facts = decode(TEXT[:place] + letter + TEXT[place + 1 :])
    except EnvcheckError:
        return
    assert msgspec.json.encode(facts)
