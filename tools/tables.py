"""Write `envcheck/catalogue/compiled/`: the catalogue's TOML tables as JSON, which is read fifty times faster.

python tools/tables.py           write it
python tools/tables.py --check   exit 1 when it is not current
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def tables() -> dict[Path, bytes]:
    """Every compiled table by its path."""
    from envcheck.catalogue.files import DATA, compiled_form, compiled_path

    sources = sorted([*Path(DATA).rglob("*.toml"), *(ROOT / "mirrors").glob("*.toml")])
    return {Path(compiled_path(path)): compiled_form(path.read_bytes()) for path in sources}


def stale() -> list[str]:
    """Names of compiled files that are not what they should be, missing ones and left-over ones too."""
    from envcheck.catalogue.files import COMPILED

    wanted = tables()
    there = set(Path(COMPILED).glob("*"))
    wrong = [path for path, form in wanted.items() if path not in there or path.read_bytes() != form]
    return sorted(path.name for path in (*wrong, *(there - wanted.keys())))


def main() -> int:
    sys.path.insert(0, str(ROOT))
    found = stale()
    if "--check" in sys.argv:
        print(f"not current: {', '.join(found)}: run tools/tables.py" if found else "current")
        return 1 if found else 0
    from envcheck.catalogue.files import COMPILED

    folder = Path(COMPILED)
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*"):
        path.unlink()
    for path, form in tables().items():
        path.write_bytes(form)
    return 0


if __name__ == "__main__":
    sys.exit(main())
