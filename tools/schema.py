"""Write `envcheck/render/report.schema.json`, the JSON Schema of what `envcheck doctor --format json` prints.

python tools/schema.py           write it
python tools/schema.py --check   exit 1 when it is not current
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def text() -> str:
    """The schema file as it should be."""
    from envcheck.render.document import json_schema

    return json.dumps(json_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> int:
    sys.path.insert(0, str(ROOT))
    from envcheck.render.document import SCHEMA_FILE

    if "--check" in sys.argv:
        current = SCHEMA_FILE.is_file() and SCHEMA_FILE.read_text("utf-8") == text()
        print("current" if current else f"{SCHEMA_FILE.name} is not current: run tools/schema.py")
        return 0 if current else 1
    SCHEMA_FILE.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
