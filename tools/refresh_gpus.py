"""Compare `catalogue/data/gpus.toml` with NVIDIA's pages of CUDA GPUs.

    python tools/refresh_gpus.py PAGE...    PAGE: an address or a saved page (current and legacy GPUs)

Shows products that are new and products with another capability; gpus.toml is edited by hand.
"""

import re
import sys

from pages import read, table_rows

from envcheck.catalogue import Catalogue

_CAPABILITY = re.compile(r"\d{1,2}\.\d")
_NOISE = re.compile(r"^NVIDIA |[®™]|\(.{0,40}?\)")


def told(page: str) -> dict[str, str]:
    """Product -> capability: of every row the cell that is a capability, and the products in the other cells."""
    found: dict[str, str] = {}
    for cells in table_rows(page):
        flat = [line for cell in cells for line in cell]
        capability = next((line for line in flat if _CAPABILITY.fullmatch(line)), None)
        if capability is None:
            continue
        for line in flat:
            name = " ".join(_NOISE.sub(" ", line).split())
            if line != capability and 2 < len(name) < 60:
                found[name] = capability
    return found


def differences(page: dict[str, str], catalogue: Catalogue) -> list[str]:
    """Lines that say what is new and what differs."""
    lines = []
    for name, capability in sorted(page.items(), key=lambda item: (item[1], item[0])):
        known = catalogue.capability_of(name)
        if known is None:
            lines.append(f"+ {capability} {name}")
        elif known != capability:
            lines.append(f"~ {name}: {known} -> {capability}")
    return lines


def main(argv: list[str]) -> int:
    if not argv:
        print(__doc__, file=sys.stderr)
        return 2
    page: dict[str, str] = {}
    for source in argv:
        page |= told(read(source)[0].decode("utf-8", "replace"))
    for line in differences(page, Catalogue.shipped()):
        print(line)
    return 0 if page else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
