"""Where the JSON Schema of what envcheck prints lies; `tools/schema.py` makes it."""

from pathlib import Path

SCHEMA_FILE = Path(__file__).parent / "report.schema.json"
