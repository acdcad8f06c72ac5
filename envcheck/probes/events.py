"""The lines of a worker's events.jsonl. Pure."""

from typing import Any

import msgspec


class Log:
    """What the lines of events.jsonl say; broken lines (a crash in mid-line) and foreign ones are passed over."""

    def __init__(self, data: bytes) -> None:
        self.hello = self.bye = False
        self.stage: str | None = None
        self.values: dict[str, Any] = {}
        self.errors: dict[str, dict[str, str]] = {}
        for line in data.split(b"\n"):
            event = _parse(line)
            if event is not None:
                self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        kind, step = event.get("event"), str(event.get("step", ""))
        self.hello = self.hello or kind == "hello"
        self.bye = self.bye or kind == "bye"
        if kind == "begin":
            self.stage = step
        elif kind == "end":
            self.stage = None if self.stage == step else self.stage
            error = event.get("error")
            if isinstance(error, dict):
                self.errors[step] = {str(key): str(value) for key, value in error.items()}
            if "value" in event:
                self.values[step] = event["value"]


def _parse(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b"{"):
        return None
    try:
        event = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        event = _parse_leniently(line)
    return event if isinstance(event, dict) else None


def _parse_leniently(line: bytes) -> Any:
    """NaN and lone surrogates, which Python's json writes and strict JSON refuses."""
    import json

    try:
        return _scrubbed(json.loads(line, parse_constant=lambda _: None))
    except (ValueError, RecursionError):
        return None


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_scrubbed(item) for item in value]
    if isinstance(value, dict):
        return {_scrubbed(key): _scrubbed(item) for key, item in value.items()}
    return value
