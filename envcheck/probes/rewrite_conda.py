"""A .condarc with other addresses behind its channels' names, all else as it was."""

import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from envcheck.model.base import Plain
from envcheck.probes.configfiles import lines_of, yaml
from envcheck.probes.rewrite import Edit, append, checked, close_last, line_end, readable, refuse, values

_FRAME = ("StreamStartEvent", "StreamEndEvent", "DocumentStartEvent", "DocumentEndEvent")


def conda_channels(custom: Mapping[str, str], defaults: Iterable[str]) -> Edit:
    """Set `custom_channels` of the given names and, unless it is empty, the whole of `default_channels`."""
    listed = list(defaults)
    block = ["custom_channels:", *(f"  {name}: {base}" for name, base in custom.items())]
    block += ["default_channels:", *(f"  - {url}" for url in listed)] if listed else []

    def rewrite(text: str) -> str:
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        old = values(readable(yaml(text), "conda"))
        document = _Document(lines_of(text.removeprefix(mark)))
        for name, base in reversed(list(custom.items())):
            document.set_name("custom_channels", name, base)
        if listed:
            document.set_list("default_channels", listed)
        if old.get(("", "custom_channels")) == [""]:
            del old["", "custom_channels"]
        wanted = {("", f"custom_channels.{name}"): [base] for name, base in custom.items()}
        wanted |= {("", "default_channels"): listed} if listed else {}
        new = mark + "".join(document.lines)
        return checked(new, yaml(new), old, wanted)

    return Edit(tuple(block), rewrite)


class _Span(Plain, frozen=True):
    """A node: where its text begins and ends (line, column), and its children (pairs for a mapping)."""

    kind: str
    start: tuple[int, int]
    end: tuple[int, int]
    flow: bool
    value: Any

    @property
    def is_nothing(self) -> bool:
        """Whether there is no value behind a key."""
        return self.kind == "ScalarEvent" and self.value == "" and self.start == self.end


class _Document:
    """A condarc as lines; it is read anew before each edit."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def set_name(self, key: str, name: str, value: str) -> None:
        """Set `name` in the mapping `key`."""
        found = self._find(key)
        if found is None:
            self._add([f"{key}:", f"  {name}: {value}"])
            return
        title, node = found
        pairs = node.value if node.kind == "map" else []
        child = next((item for label, item in pairs if label.value == name), None)
        if child is not None:
            self._replace(child, value)
        elif node.is_nothing:
            self._insert(title.start[0] + 1, title.start[1] + 2, f"{name}: {value}")
        elif node.kind == "map" and not node.flow:
            self._insert(*node.start, f"{name}: {value}")
        elif node.kind == "map":
            line, column = node.start
            rest = self.lines[line][column + 1 :].lstrip(" ")
            self.lines[line] = f"{self.lines[line][: column + 1]}{name}: {value}{', ' if pairs else ''}{rest}"
        else:
            refuse()

    def set_list(self, key: str, items: list[str]) -> None:
        """Make `items` the list `key`; what a block list held becomes comments."""
        found = self._find(key)
        if found is None:
            self._add([f"{key}:", *(f"  - {item}" for item in items)])
            return
        title, node = found
        if node.kind == "list" and [child.value for child in node.value] == items:
            return
        if node.kind == "list" and node.flow:
            self._replace(node, f"[{', '.join(items)}]")
        elif node.kind == "list":
            self._comment_out([child.start[0] for child in node.value])
            for item in reversed(items):
                self._insert(*node.start, f"- {item}")
        elif node.is_nothing:
            for item in reversed(items):
                self._insert(title.start[0] + 1, title.start[1] + 2, f"- {item}")
        else:
            refuse()

    def _find(self, key: str) -> tuple[_Span, _Span] | None:
        top = self._top()
        return next((pair for pair in top.value if pair[0].value == key), None) if top else None

    def _top(self) -> _Span | None:
        """The mapping that the document is; None when there is none yet."""
        import yaml as pyyaml

        events = list(pyyaml.parse("".join(self.lines), Loader=pyyaml.SafeLoader))
        body = deque(event for event in events if type(event).__name__ not in _FRAME)
        if any(type(event).__name__ == "DocumentEndEvent" and getattr(event, "explicit", True) for event in events):
            refuse()
        top = _span(body) if body else None
        if top is None or top.is_nothing:
            return None
        if top.kind != "map" or top.flow:
            refuse()
        return top

    def _add(self, block: list[str]) -> None:
        top = self._top()
        indent = " " * top.start[1] if top else ""
        append(self.lines, (indent + line for line in block), gap=False)

    def _insert(self, number: int, column: int, text: str) -> None:
        close_last(self.lines)
        self.lines.insert(number, f"{' ' * column}{text}{line_end(self.lines)}")

    def _comment_out(self, numbers: list[int]) -> None:
        for number in set(numbers):
            self.lines[number] = re.sub(r"^[ \t]*", r"\g<0># ", self.lines[number], count=1)

    def _replace(self, node: _Span, text: str) -> None:
        (first, column), (last, end) = node.start, node.end
        self.lines[first : last + 1] = [self.lines[first][:column] + text + self.lines[last][end:]]


def _span(events: "deque[Any]") -> _Span:
    """The node that the next events describe. Its depth is bounded: `yaml` has read the same text before."""
    event = events.popleft()
    kind = type(event).__name__
    start, end = (event.start_mark.line, event.start_mark.column), (event.end_mark.line, event.end_mark.column)
    if kind in ("ScalarEvent", "AliasEvent"):
        return _Span(kind, start, end, False, getattr(event, "value", None))
    children = []
    while not type(events[0]).__name__.endswith("EndEvent"):
        children.append(_span(events))
    mark = events.popleft().end_mark
    pairs = kind == "MappingStartEvent"
    value = list(zip(children[::2], children[1::2], strict=True)) if pairs else children
    return _Span("map" if pairs else "list", start, (mark.line, mark.column), bool(event.flow_style), value)
