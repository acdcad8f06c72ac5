"""Write `envcheck/render/report.schema.json`, the JSON Schema of the JSON that envcheck prints.

python tools/schema.py           write it
python tools/schema.py --check   exit 1 when it is not current
"""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parent.parent


def text() -> str:
    """The schema file as it should be."""
    return json.dumps(schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of every document that a command prints."""
    from envcheck.model.facts import Facts
    from envcheck.render.document import Document
    from envcheck.render.plans import PlanDocument

    printed = (Document, Facts, PlanDocument)  # doctor and verify-backprop, snapshot, install
    references, definitions = msgspec.json.schema_components(printed, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "JSON printed by envcheck",
        "anyOf": list(references),
        "$defs": {name: _described(one) for name, one in definitions.items()},
    }


def _described(definition: dict[str, Any]) -> dict[str, Any]:
    """With its docstring as newer Pythons (3.13) keep it: without the indentation of the source."""
    if "description" not in definition:
        return definition
    return definition | {"description": inspect.cleandoc(definition["description"])}


def main() -> int:
    sys.path.insert(0, str(ROOT))
    from envcheck.render.schema import SCHEMA_FILE

    if "--check" in sys.argv:
        current = SCHEMA_FILE.is_file() and SCHEMA_FILE.read_text("utf-8") == text()
        print("current" if current else f"{SCHEMA_FILE.name} is not current: run tools/schema.py")
        return 0 if current else 1
    SCHEMA_FILE.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
