"""What is generated is current: the JSON Schema, the page of codes."""

import json

import jsonschema
from helpers.tool import ROOT, tool

from envcheck.diagnosis.checks import CHECKS
from envcheck.render.schema import SCHEMA_FILE


def test_the_schema_is_current_and_valid() -> None:
    text = SCHEMA_FILE.read_text("utf-8")
    assert text == tool("schema").text(), "run tools/schema.py"
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


def test_the_schema_describes_what_programs_rely_on() -> None:
    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))["$defs"]
    assert set(schema["Document"]["required"]) >= {"schema", "envcheck", "target", "facts", "report"}
    report = schema["ReportDocument"]
    assert set(report["required"]) >= {"verdict", "can_train", "primary", "findings", "checks", "probes"}
    assert set(schema["FindingDocument"]["required"]) >= {"code", "cause", "severity", "explains", "caused_by", "fixes"}


def test_the_page_of_codes_is_current() -> None:
    page = (ROOT / "docs" / "codes.md").read_text("utf-8")
    assert page == tool("codes").text(), "run tools/codes.py"
    assert all(f"### {check.code} {check.slug}\n" in page for check in CHECKS)
