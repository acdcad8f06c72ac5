"""Compare `catalogue/data/releases.toml` with an index page of torch's wheels, and take new releases in.

    python tools/refresh_releases.py                      read PyTorch's index and show what differs
    python tools/refresh_releases.py --page saved.html    the same for a saved page (HTML or PEP 691 JSON)
    python tools/refresh_releases.py --write              append the releases that are new

Which torchvision belongs to a new release and what its builds hold kernels for stands on no index page: fill in
`[release]` and `capabilities.toml` by hand, from PyTorch's release notes and RELEASE.md.
"""

import argparse
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

from pages import read

from envcheck.catalogue import Catalogue
from envcheck.catalogue.files import DATA
from envcheck.catalogue.indexpage import ACCEPT, parse
from envcheck.catalogue.wheelnames import Row, rows
from envcheck.model.versions import numbers

Key = tuple[str, str, str, str]


def known() -> dict[Key, set[str]]:
    """Release, variant, system and machine of every shipped build -> its Pythons."""
    found: dict[Key, set[str]] = {}
    for build in Catalogue.shipped().builds():
        found.setdefault((build.torch, build.variant, build.os, build.machine), set()).update(build.pythons)
    return found


def told(listed: Iterable[Row]) -> dict[Key, set[str]]:
    """The same of an index page."""
    found: dict[Key, set[str]] = {}
    for row in listed:
        for variant in row.variants:
            found.setdefault((row.torch, variant, row.os, row.machine), set()).update(row.pythons)
    return found


def differences(page: dict[Key, set[str]], shipped: dict[Key, set[str]]) -> list[str]:
    """Lines that say what the page has and the catalogue lacks, and where their Pythons differ."""
    oldest = min(numbers(torch) for torch, *_ in shipped)
    lines = []
    for key in sorted(page, key=lambda key: (numbers(key[0]), key[1:]), reverse=True):
        if numbers(key[0]) < oldest:
            continue
        name = f"{key[0]}+{key[1]} {key[2]} {key[3]}"
        if key not in shipped:
            lines.append(f"+ {name}: {' '.join(sorted(page[key], key=numbers))}")
        elif missing := page[key] - shipped[key]:
            lines.append(f"~ {name}: also {' '.join(sorted(missing, key=numbers))}")
    return lines


def as_toml(new: Iterable[Row], index: str, day: str) -> str:
    """TOML of new releases, to stand at the end of releases.toml."""
    listed = list(new)
    source = f"index-{day}"
    parts = [f'[source.{source}]\nwhat = "{index}"\ndate = "{day}"\n']
    parts += [
        f'[release."{torch}"]\nsource = "{source}"\n' for torch in sorted({row.torch for row in listed}, key=numbers)
    ]
    for row in listed:
        lines = ["[[wheels]]", f'torch = "{row.torch}"', f'os = "{row.os}"', f'machine = "{row.machine}"']
        lines.append(f'variants = "{" ".join(row.variants)}"')
        if not row.labels:
            lines += [f'default = "{row.variants[0]}"', "labels = false"]
        lines.append(f'pythons = "{" ".join(row.pythons)}"')
        if row.glibc:
            lines.append(f'glibc = "{row.glibc}"')
        if row.macos:
            lines.append(f'macos = "{row.macos}"')
        parts.append("\n".join([*lines, f'source = "{source}"']) + "\n")
    return "\n" + "\n".join(parts)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", help="a saved page, or the address of one")
    parser.add_argument("--write", action="store_true", help="append new releases to releases.toml")
    asked = parser.parse_args(argv)
    index = Catalogue.shipped().shipped_releases.index
    body, kind, url = read(asked.page or f"{index}/torch/", ACCEPT)
    listed = rows(link.name for link in parse(body, kind, url).links)
    if not listed:
        print(f"{asked.page or url}: no wheels of torch", file=sys.stderr)
        return 1
    shipped = known()
    for line in differences(told(listed), shipped):
        print(line)
    releases = {torch for torch, *_ in shipped}
    new = [row for row in listed if row.torch not in releases and numbers(row.torch) > max(map(numbers, releases))]
    if asked.write and new:
        day = datetime.now(timezone.utc).strftime("%Y-%m-%d")
        with (Path(DATA) / "releases.toml").open("a", encoding="utf-8") as file:
            file.write(as_toml(new, asked.page or index, day))
        print("run tools/tables.py next")
        print(f"appended: {' '.join(sorted({row.torch for row in new}))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
