"""What a benchmark found: rows and ratios with the machine they were measured on, as a table, JSON or Markdown."""

import datetime
import os
import platform
import sys
from pathlib import Path

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    name: str
    figures: dict[str, float | int | str]


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """A ratio of two commands, pair by pair, and the bar it is held to."""

    name: str
    median: float
    least: float
    greatest: float
    bar: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the bar holds; None without a bar."""
        return None if self.bar is None else self.median <= self.bar


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A whole benchmark."""

    benchmark: str
    date: str
    machine: str
    versions: dict[str, str]
    rows: tuple[Row, ...]
    ratios: tuple[Ratio, ...] = ()
    notes: tuple[str, ...] = ()


def result(
    benchmark: str,
    rows: list[Row],
    *,
    ratios: list[Ratio] | None = None,
    versions: dict[str, str] | None = None,
    notes: list[str] | None = None,
) -> Result:
    """Rows and ratios with date and machine filled in."""
    return Result(
        benchmark=benchmark,
        date=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        machine=_machine(),
        versions={"python": platform.python_version(), **(versions or {})},
        rows=tuple(rows),
        ratios=tuple(ratios or ()),
        notes=tuple(notes or ()),
    )


def _machine() -> str:
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.system()}"


def markdown(found: Result) -> str:
    """The section of `docs/benchmarks.md` for this result."""
    lines = [f"## {found.benchmark}", "", f"{found.date}, {found.machine}. " + _versions(found), ""]
    if found.rows:
        lines += _table(found)
    if found.ratios:
        lines += ["", "| ratio | median | least | greatest | bar | |", "|---|---:|---:|---:|---:|---|"]
        for one in found.ratios:
            bar = "" if one.bar is None else f"{one.bar:g}"
            mark = {True: "holds", False: "**missed**", None: ""}[one.holds]
            lines.append(f"| {one.name} | {one.median:.3f} | {one.least:.3f} | {one.greatest:.3f} | {bar} | {mark} |")
    lines += ["", *(f"- {note}" for note in found.notes)]
    return "\n".join(lines).rstrip() + "\n"


def _versions(found: Result) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(found.versions.items())) + "."


def _table(found: Result) -> list[str]:
    columns = list(dict.fromkeys(key for row in found.rows for key in row.figures))
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for row in found.rows:
        cells = [_cell(row.figures.get(column, "")) for column in columns]
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return lines


def _cell(value: float | str) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def show(found: Result) -> None:
    """The table on standard output."""
    sys.stdout.write(markdown(found) + "\n")


def save(found: Result, path: Path) -> None:
    """The result as JSON, for `benchmarks compare`."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))


def load(path: Path) -> Result:
    """A saved result."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def write_docs(found: Result, path: Path) -> None:
    """Replace (or add) the section of this benchmark in the document."""
    head = "# Benchmarks\n\nEach section is written by `python -m benchmarks NAME --docs`.\n"
    text = path.read_text(encoding="utf-8") if path.exists() else head
    before, marker, rest = text.partition(f"## {found.benchmark}\n")
    after = rest[rest.index("\n## ") + 1 :] if "\n## " in rest else ""
    body = before if marker else text.rstrip() + "\n\n"
    path.write_text((body + markdown(found) + ("\n" + after if after else "")).rstrip() + "\n", encoding="utf-8")
