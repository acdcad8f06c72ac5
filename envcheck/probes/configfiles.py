"""Parsers of the configuration files of pip, uv and conda: bytes in, entries and problems out, never an exception."""

import codecs
import sys
from collections.abc import Iterator
from typing import Any

from envcheck.model.base import Plain
from envcheck.model.patterns import regex

MOST_ENTRIES = 500
_MOST_PROBLEMS = 5
_DEEPEST = 8
_PLAIN = regex(r"[\w.-]{1,60}")
_LINE = regex(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


class Entry(Plain, frozen=True):
    """One value of a file; a list has an entry for each item. `line` counts from 1, 0 is unknown."""

    section: str
    key: str
    value: str
    line: int


class Parsed(Plain, frozen=True):
    """What a file says, in its order, and why its own tool would refuse it (empty: it would not)."""

    entries: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()


def decode(data: bytes) -> tuple[str, str | None]:
    """The text (a byte order mark stays in it), and why it is no UTF-8 text, if so."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace"), "UTF-16, not UTF-8"
    if b"\0" in data:
        return "", "not a text file"
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as error:
        return data.decode("utf-8", "replace"), f"byte {error.start} is not valid UTF-8"


def lines_of(text: str) -> list[str]:
    """The lines with their ends, as files are read: only LF, CR and CR LF end one."""
    return _LINE.findall(text)


def shown(name: str) -> str:
    """A key or section as a reason may show it; what is not a plain name may hold an address with a password."""
    return name if _PLAIN.fullmatch(name) else "****"


# INI: pip -----------------------------------------------------------------------------------------------------


def option_name(name: str) -> str:
    """A key or a variable's name as pip compares it: `--Index_URL` is `index-url`."""
    return name.strip().lower().replace("_", "-").removeprefix("--")


def ini(text: str) -> Parsed:
    """An INI file as pip reads it: continuations are indented, a comment has its own line, doubles are refused."""
    reader = _Ini()
    if text.startswith("\ufeff"):
        reader.problems.append("line 1: a byte order mark")
    for number, raw in enumerate(lines_of(text.removeprefix("\ufeff")), 1):
        line = raw.strip()
        if line and line[0] not in "#;":
            reader.take(number, line, indent=len(raw) - len(raw.lstrip()))
    return Parsed(tuple(reader.entries[:MOST_ENTRIES]), tuple(reader.problems[:_MOST_PROBLEMS]))


class _Ini:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.problems: list[str] = []
        self._section: str | None = None
        self._names: set[tuple[str, str]] = set()
        self._indent = 0
        self._open = False

    def take(self, number: int, line: str, indent: int) -> None:
        """Read one line that is neither empty nor a comment."""
        if self._open and indent > self._indent:
            last = self.entries[-1]
            self.entries[-1] = last.but(value=f"{last.value}\n{line}" if last.value else line)
            return
        self._indent, self._open = indent, False
        if line.startswith("[") and "]" in line[2:]:
            self._begin(number, line[1 : line.rindex("]")])
            return
        places = [place for place in (line.find("="), line.find(":")) if place > 0]
        if self._section is None or not places:
            self._refuse(number, "no `key = value`" if self._section else "stands before the first [section]")
            return
        key, value = option_name(line[: min(places)]), line[min(places) + 1 :].strip()
        self._once(number, self._section, key, f"`{shown(key)}` twice in [{shown(self._section)}]")
        self.entries.append(Entry(self._section, key, value, number))
        self._open = True

    def _begin(self, number: int, name: str) -> None:
        self._once(number, name, "", f"[{shown(name)}] twice")
        self._section = name

    def _once(self, number: int, section: str, key: str, double: str) -> None:
        if (section, key) in self._names:
            self._refuse(number, double)
        self._names.add((section, key))

    def _refuse(self, number: int, reason: str) -> None:
        self.problems.append(f"line {number}: {reason}")


# TOML: uv -----------------------------------------------------------------------------------------------------


def toml(text: str) -> Parsed:
    """A TOML file, flattened: tables become `section`s, `index[0]` for an array's first table.

    Line numbers are those of the first line that holds the value, TOML readers give none.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        return Parsed(problems=(str(error) or "nested too deeply",))
    lines = lines_of(text)
    entries = []
    for path, value in _leaves(table):
        section, _, key = path.rpartition(".")
        entries.append(Entry(section, key, value, _line_with(lines, value)))
        if len(entries) == MOST_ENTRIES:
            break
    return Parsed(tuple(entries))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{path}[{place}]" if isinstance(item, dict) else path)
    else:
        yield path, str(value).lower() if isinstance(value, bool) else str(value)


def _line_with(lines: list[str], value: str) -> int:
    return next((number for number, line in enumerate(lines, 1) if value and value in line), 0)


# YAML: conda --------------------------------------------------------------------------------------------------


class _Node(Plain, frozen=True):
    """A value and its line: a scalar's text, a list of nodes, or a mapping's pairs of nodes."""

    value: "str | list[_Node] | list[tuple[_Node, _Node]]"
    is_map: bool
    line: int


def yaml(text: str) -> Parsed:
    """A condarc, flattened: `channels` has an entry for each item, `custom_channels.pytorch` one for each name.

    Values keep their spelling (`no`, `False`). Nothing is constructed: tags are ignored, aliases are followed
    within bounds.
    """
    import yaml as pyyaml

    builder = _Yaml()
    try:
        for event in pyyaml.parse(text.removeprefix("\ufeff"), Loader=pyyaml.SafeLoader):
            builder.take(event)
        entries = builder.entries()
    except (pyyaml.YAMLError, ValueError) as error:
        return Parsed(problems=(_yaml_reason(error),))
    return Parsed(entries, tuple(builder.problems[:_MOST_PROBLEMS]))


class _Yaml:
    """Builds nodes from PyYAML's events (its own composer recurses and resolves types)."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._open: list[tuple[str | None, _Node]] = []
        self._anchors: dict[str, _Node] = {}
        self._documents: list[_Node] = []

    def take(self, event: Any) -> None:
        """One event of `yaml.parse`."""
        kind = type(event).__name__
        if kind == "AliasEvent":
            self._add(None, self._anchors.get(event.anchor) or _Node("", False, event.start_mark.line + 1))
        elif kind == "ScalarEvent":
            self._add(event.anchor, _Node(event.value, False, event.start_mark.line + 1))
        elif kind in ("SequenceStartEvent", "MappingStartEvent"):
            if len(self._open) == _DEEPEST:
                raise ValueError(f"line {event.start_mark.line + 1}: nested too deeply")
            self._open.append((event.anchor, _Node([], kind[0] == "M", event.start_mark.line + 1)))
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            anchor, node = self._open.pop()
            self._add(anchor, _paired(node, self.problems) if node.is_map else node)

    def entries(self) -> tuple[Entry, ...]:
        """The document's values in its order; a condarc must be one mapping."""
        if len(self._documents) > 1:
            raise ValueError("more than one document")
        if not self._documents or self._documents[0].value == "":
            return ()
        if not self._documents[0].is_map:
            raise ValueError(f"line {self._documents[0].line}: not a mapping of keys")
        return _flat(self._documents[0])

    def _add(self, anchor: str | None, node: _Node) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._open:
            self._documents.append(node)
        else:
            items: Any = self._open[-1][1].value
            items.append(node)


def _paired(node: _Node, problems: list[str]) -> _Node:
    flat: Any = node.value
    pairs = list(zip(flat[::2], flat[1::2], strict=False))
    seen: set[str] = set()
    for key, _ in pairs:
        name = str(key.value)
        if name in seen and name != "<<":
            problems.append(f"line {key.line}: `{shown(name)}` twice")
        seen.add(name)
    return node.but(value=pairs)


def _flat(top: _Node) -> tuple[Entry, ...]:
    """Depth first, within bounds: aliases can make a short file as large as one likes."""
    entries: list[Entry] = []
    waiting: list[tuple[str, _Node]] = [("", top)]
    for _ in range(20 * MOST_ENTRIES):
        if not waiting or len(entries) == MOST_ENTRIES:
            break
        path, node = waiting.pop()
        value: Any = node.value
        if node.is_map:
            waiting += [(_joined(path, key), item) for key, item in reversed(value)]
        elif isinstance(value, list):
            waiting += [(path, item) for item in reversed(value)]
        else:
            entries.append(Entry("", path, value, node.line))
    return tuple(entries)


def _joined(path: str, key: _Node) -> str:
    name = key.value if isinstance(key.value, str) else "?"
    return path if name == "<<" else f"{path}.{name}" if path else name


def _yaml_reason(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return f"{where}{str(reason).splitlines()[0][:160]}"
