"""The faces show any examination: whole, safe, in both languages, in every encoding and width."""

import io
import json
import re
from functools import cache
from typing import Any

import jsonschema
import pytest
from helpers.anything import EXAMINATIONS, HOSTILE
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from envcheck.model.facts import Facts, Gpu, Host, Nvidia, Python, Torch
from envcheck.model.report import Evidence, Examination, Finding, Fix, Report
from envcheck.model.text import say
from envcheck.render import console, document, markdown
from envcheck.render.layout import cells
from envcheck.render.phrases import command_lines
from envcheck.render.schema import SCHEMA_FILE
from envcheck.render.terminal import ASCII, SYMBOLS, Terminal
from envcheck.render.voice import Voice

LONG = (
    "~/my env/bin/python",
    "-m",
    "pip",
    "install",
    "torch==2.13.0+cu126",
    "--index-url",
    "https://h.example/" + "x" * 90,
)


def stream(encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@cache
def validator() -> Any:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text("utf-8")))


def sample(**changes: Any) -> Examination:
    finding = Finding(
        code="EC301",
        slug="torch-cpu-build",
        cause="cpu_build",
        severity="error",
        title=say("not installed"),
        why=say("{value}", value="a reason"),
        evidence=(Evidence(fact="torch.variant", value="cpu", look="torch", where="torch/version.py"),),
        fixes=(Fix(what=say("{value}", value="reinstall"), argv=LONG), Fix(what=say("passed"), alternative=True)),
        explains=("EC401",),
    )
    symptom = Finding(
        code="EC401", slug="cuda-unavailable", cause=None, severity="error", title=say("none seen"), caused_by="EC301"
    )
    hint = Finding(code="EC601", slug="slow", cause=None, severity="info", title=say("no proxy"))
    report: dict[str, Any] = {
        "verdict": "problem",
        "can_train": ("cpu",),
        "primary": "EC301",
        "findings": (finding, symptom, hint),
        "checks": (),
        "probes": (),
    }
    facts = Facts(
        host=Host(os="linux"),
        python=Python(path="~/my env/bin/python", chosen_by="VIRTUAL_ENV", version="3.11.7", implementation="CPython"),
        nvidia=Nvidia(gpus=tuple(Gpu(index=number, name="NVIDIA H100", memory_bytes=80 << 30) for number in range(8))),
        torch=Torch(installed=True, version="2.13.0+cpu", variant="cpu", imported=True, cuda_available=False),
    )
    return Examination(facts=facts, report=Report(**{**report, **changes}))


@settings(max_examples=60, deadline=None)
@given(EXAMINATIONS, st.sampled_from(["en", "zh"]), st.sampled_from([40, 60, 80, 200]), st.booleans())
def test_the_console_shows_nothing_raw(examination: Examination, language: str, width: int, verbose: bool) -> None:
    shown = console.render(examination, Voice(language), Terminal(width, False, SYMBOLS), verbose=verbose)
    assert shown.endswith("\n")
    assert all(line.isprintable() for line in shown.split("\n"))


@settings(max_examples=60, deadline=None)
@given(EXAMINATIONS, st.sampled_from(["en", "zh"]))
def test_markdown_shows_nothing_raw(examination: Examination, language: str) -> None:
    shown = markdown.render(examination, Voice(language), Terminal(80, False, SYMBOLS))
    assert all(line.isprintable() for line in shown.split("\n"))
    assert html_in(shown) <= {"<br>", "<details>", "<summary>", "</summary>", "</details>"}


def html_in(text: str) -> set[str]:
    """The HTML tags that a Markdown reader finds in `text`; commands and code spans hold none."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    inner = [child for token in tokens for child in token.children or ()]
    raw = [token.content for token in (*tokens, *inner) if token.type in ("html_block", "html_inline")]
    return {tag for content in raw for tag in re.findall(r"<[^>]*>", content)}


@settings(max_examples=60, deadline=None)
@given(EXAMINATIONS, st.sampled_from(["en", "zh"]), st.sampled_from(["utf-8", "gbk", "cp1252", "ascii"]))
def test_json_is_valid_safe_and_can_be_encoded(examination: Examination, language: str, encoding: str) -> None:
    shown = document.render(examination, Voice(language), stream(encoding))
    shown.encode(encoding)
    assert all(line.isprintable() for line in shown.split("\n"))
    validator().validate(json.loads(shown))


@given(HOSTILE, HOSTILE)
def test_json_keeps_values_as_they_are(name: str, version: str) -> None:
    facts = Facts(python=Python(path=name, version=version))
    examination = Examination(facts=facts, report=sample().report)
    target = json.loads(document.render(examination, Voice(), stream("ascii")))["target"]
    expected = name.encode("utf-8", "backslashreplace").decode()
    assert target["python"] == expected


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_commands_stand_alone_and_whole_and_text_fits(width: int, language: str) -> None:
    examination = sample()
    lines = console.render(examination, Voice(language), Terminal(width, False, SYMBOLS)).splitlines()
    (command,) = command_lines(examination.report.findings[0].fixes[0])
    assert [line.strip() for line in lines].count(command) == 1
    assert all(cells(line) <= width for line in lines if command not in line)


def test_the_screen_names_cause_symptom_and_hint() -> None:
    shown = console.render(sample(), Voice(), Terminal(80, False, ASCII))
    assert (
        shown.index("EC301  not installed") < shown.index("explains  EC401  none seen") < shown.index("EC601  no proxy")
    )
    assert "8 × NVIDIA H100, 80 GiB" in shown
    assert shown.count("envcheck explain") == 1
    assert console.render(sample(), Voice(), Terminal(80, False, ASCII), verbose=True).count("envcheck explain") == 2


def test_colour_changes_nothing_but_colour() -> None:
    plain = console.render(sample(), Voice(), Terminal(80, False, SYMBOLS))
    coloured = console.render(sample(), Voice(), Terminal(80, True, SYMBOLS))
    assert coloured != plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_a_healthy_machine_says_what_it_is_good_for() -> None:
    examination = sample(verdict="healthy", primary=None, findings=(), can_train=("cpu", "cuda:0"))
    shown = console.render(examination, Voice(), Terminal(80, False, SYMBOLS))
    assert shown.endswith("Nothing is wrong.\nThis environment can train on: cpu, cuda:0.\n")


def test_the_document_names_the_primary_finding_twice() -> None:
    made = json.loads(document.render(sample(), Voice(), stream()))
    assert made["schema"] == 1
    report = made["report"]
    assert report["primary"] == report["findings"][0]
    assert report["primary"]["cause"] == "cpu_build"
    assert report["primary"]["fixes"][0]["argv"] == list(LONG)
    assert [found["caused_by"] for found in report["findings"]] == [None, "EC301", None]
    assert document.render(sample(primary=None), Voice(), stream()).count('"primary": null') == 1


def test_the_document_speaks_the_language_it_names() -> None:
    made = json.loads(document.render(sample(), Voice("zh"), stream()))
    assert made["language"] == "zh"
    assert made["report"]["primary"]["title"] == "未安装"
    assert "\\u" in document.render(sample(), Voice("zh"), stream("ascii"))


def test_markdown_puts_commands_into_fences_and_folds_details() -> None:
    shown = markdown.render(sample(), Voice(), Terminal(80, False, SYMBOLS))
    (command,) = command_lines(sample().report.findings[0].fixes[0])
    assert f"```sh\n{command}\n```\n" in shown
    assert shown.index("</details>") > shown.index("<details>") > shown.index(command)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<b>@user", "&lt;b&gt;&#64;user"),
        ("*x* _y_ `z`", r"\*x\* \_y\_ \`z\`"),
        ("\x1b[0m", r"\\x1b\[0m"),
    ],
)
def test_markdown_escapes_what_a_machine_says(text: str, shown: str) -> None:
    assert markdown.escape(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("a", "`a`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("``x", "``` ``x ```")]
)
def test_code_spans_hold_backticks(text: str, shown: str) -> None:
    assert markdown.code_span(text) == shown
