"""Hypothesis strategies for any value of the model, with hostile text in every string."""

from typing import Any, cast

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from envcheck.model.report import CheckResult, Examination, Finding
from envcheck.model.text import Text

HOSTILE = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "\x1b[31mNVIDIA\x1b[0m",
            "\x1b]0;owned\x07",
            "\x9b2J",
            "cpu\u202egpj",
            "[/nope]",
            "[link=file:///etc/passwd]x[/link]",
            "<script>alert(1)</script>",
            "`tick` ``` fence",
            "| table | @everyone #1",
            "two\nlines\r\n",
            "\udcff\udc80",
            "{braces} {0} {a.b}",
            "显卡" * 40,
            "x" * 400,
            "\x00",
            "a\x7fb",
        ]
    ),
)
"""Short text of any kind, and what attackers and broken firmware put there."""
TEXTS = st.builds(
    lambda first, second: Text(msgid="saw {first} and `{second}`", values={"first": first, "second": second}),
    HOSTILE,
    HOSTILE,
)


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a model type."""
    return _strategy(inspect.type_info(kind))


def _strategy(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.StructType():
            made = _struct(info)
        case inspect.UnionType():
            made = st.one_of([_strategy(one) for one in info.types])
        case inspect.VarTupleType():
            made = st.lists(_strategy(info.item_type), max_size=2).map(tuple)
        case inspect.DictType():
            made = st.dictionaries(_strategy(info.key_type), _strategy(info.value_type), max_size=2)
        case inspect.LiteralType():
            made = st.sampled_from(info.values)
        case _:
            made = _SIMPLE[type(info)]
    return made


_SIMPLE: dict[type[Any], st.SearchStrategy[Any]] = {
    inspect.StrType: HOSTILE,
    inspect.IntType: st.integers(-(2**40), 2**40),
    inspect.FloatType: st.floats(0, 1e6),
    inspect.BoolType: st.booleans(),
    inspect.NoneType: st.none(),
}


def _struct(info: inspect.StructType) -> st.SearchStrategy[Any]:
    if info.cls is Text:
        return TEXTS
    fields = {field.name: _strategy(field.type) for field in info.fields}
    if info.cls in (Finding, CheckResult):  # their names are our own
        fields["code"] = st.sampled_from(["EC101", "EC201", "EC206", "EC301", "EC401", "EC501", "EC601", "EC901"])
        fields["slug"] = st.sampled_from(["gpu-lost", "driver-missing", "other"])
    return _some(info, fields).map(lambda given: info.cls(**given))


def _some(info: inspect.StructType, fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    required = {field.name for field in info.fields if field.required}
    return st.fixed_dictionaries(
        {name: fields[name] for name in required},
        optional={name: fields[name] for name in fields.keys() - required},
    )


def _named(examination: Examination) -> Examination:
    """`primary` and `caused_by` name findings that are there, as diagnosis makes sure."""
    report = examination.report
    codes = [finding.code for finding in report.findings]
    findings = tuple(
        msgspec.structs.replace(finding, caused_by=codes[0] if finding.caused_by and number else None)
        for number, finding in enumerate(report.findings)
    )
    primary = codes[0] if codes and report.primary else None
    return msgspec.structs.replace(
        examination, report=msgspec.structs.replace(report, findings=findings, primary=primary)
    )


EXAMINATIONS = cast("st.SearchStrategy[Examination]", values_of(Examination).map(_named))
