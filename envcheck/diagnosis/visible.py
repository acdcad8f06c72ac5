"""What CUDA_VISIBLE_DEVICES leaves visible, by CUDA's own rules."""

import re
from collections.abc import Sequence
from typing import Literal

from envcheck.model.base import Plain

Flaw = Literal["empty", "negative", "beyond", "unknown", "repeated", "not_a_device"]


class Visible(Plain, frozen=True):
    """The devices left (None: cannot be told), and the first entry that CUDA stops at, with its flaw."""

    left: int | None
    entry: str | None = None
    flaw: Flaw | None = None


def visible(value: str, count: int | None, uuids: Sequence[str] = ()) -> Visible:
    """Read `value` for a machine with `count` GPUs whose UUIDs (GPU- and MIG-) are `uuids`; empty: not known.

    CUDA reads from the left and stops at the first entry that is no device; a device named twice hides all.
    Source: CUDA C++ programming guide, environment variables.
    """
    entries = [entry.strip() for entry in value.split(",")]
    if entries == [""]:
        return Visible(0, value, "empty")
    seen: list[str] = []
    for entry in entries:
        flaw = _flaw(entry, count, uuids)
        if flaw is not None:
            return Visible(len(seen), entry, flaw)
        if entry in seen:
            return Visible(0, entry, "repeated")
        seen.append(entry)
    return Visible(len(seen))


def _flaw(entry: str, count: int | None, uuids: Sequence[str]) -> Flaw | None:
    if re.fullmatch(r"\d{1,4}", entry):
        return "beyond" if count is not None and int(entry) >= count else None
    if re.fullmatch(r"-\d{1,4}", entry):
        return "negative"
    if entry.startswith(("GPU-", "MIG-")):
        return None if not uuids or any(uuid.startswith(entry) for uuid in uuids) else "unknown"
    return "not_a_device"
