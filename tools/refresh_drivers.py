"""Compare `catalogue/data/drivers.toml` with the driver tables of NVIDIA's CUDA release notes.

    python tools/refresh_drivers.py PAGE    PAGE: an address or a saved page of the release notes

Shows toolkits that are new and first releases whose driver differs; drivers.toml is edited by hand.
"""

import re
import sys
from pathlib import Path

from pages import read, table_rows

from envcheck.catalogue.drivers import Drivers
from envcheck.catalogue.files import DATA, read_table

_TOOLKIT = re.compile(r"CUDA (\d{1,2}\.\d)(?:\.\d{1,3})? ?\(?(?:GA|RC|General|\d|$)")
_DRIVER = re.compile(r">= ?(\d{3}(?:\.\d{1,3}){1,2})")


def told(page: str) -> dict[str, tuple[str | None, str | None]]:
    """CUDA version -> the drivers for Linux and Windows of its first release: the last row that names it."""
    found: dict[str, tuple[str | None, str | None]] = {}
    for cells in table_rows(page):
        text = [" ".join(cell) for cell in cells]
        toolkit = _TOOLKIT.match(text[0])
        drivers = [match[1] if (match := _DRIVER.search(cell)) else None for cell in text[1:3]]
        if toolkit and len(drivers) == 2 and any(drivers):
            found[toolkit[1]] = (drivers[0], drivers[1])
    return found


def differences(page: dict[str, tuple[str | None, str | None]], table: Drivers) -> list[str]:
    """Lines that say what is new and what differs."""
    known = {row.cuda: (row.linux, row.windows) for row in table.toolkit}
    lines = []
    for cuda, drivers in page.items():
        if cuda not in known:
            lines.append(f"+ CUDA {cuda}: {drivers[0]} {drivers[1]}")
        else:
            pairs = zip(("linux", "windows"), known[cuda], drivers, strict=True)
            lines += [f"~ CUDA {cuda} {name}: {old} -> {new}" for name, old, new in pairs if new and new != old]
    return lines


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    page = told(read(argv[0])[0].decode("utf-8", "replace"))
    for line in differences(page, read_table(Path(DATA) / "drivers.toml", Drivers)):
        print(line)
    return 0 if page else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
