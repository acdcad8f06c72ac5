"""Which maker's card a name is, and the row that it belongs to."""

from typing import Any

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line
from envcheck.model.patterns import regex

_AMD = regex(r"\b(?:AMD|Radeon|Instinct|gfx[0-9a-f]{3,4})\b")
_NVIDIA = regex(
    r"(?:NVIDIA|GeForce|Tesla|Quadro|TITAN|GRID|NVS|RTX|GTX|Graphics Device|Orin|Xavier"
    r"|(?:GB|[ABHLPTV])\d{1,3}S?\b(?:[ -](?:SXM|PCI|NVL|\d))?)"
)
_ARCHITECTURE = regex(r"\s*\(?(?P<gfx>gfx[0-9a-f]{3,4})\b[^)\n]{0,40}\)?\s*$")
MAX_AMD = 16


def is_amd(name: str) -> bool:
    """Whether the name is that of an AMD card."""
    return _AMD.search(name) is not None


def is_card(name: str) -> bool:
    """Whether the name begins as names of NVIDIA's products do."""
    return len(name) <= 80 and _NVIDIA.match(name) is not None


def card_seen(name: str, line: Line, draft: Draft, index: int | None = None, **values: object) -> None:
    """A card by its name, and by its number where the text counts them; AMD's go to AMD's list."""
    if is_amd(name):
        amd_seen(name, line, draft, index)
    elif index is None:
        draft.gpu_named(name, line, **values)
    else:
        draft.gpu(index, line, name=name, **values)


def amd_seen(name: str, line: Line, draft: Draft, index: int | None = None) -> None:
    """An AMD card, once; `(gfx942:sramecc+)` behind the name is its architecture."""
    found = _ARCHITECTURE.search(name)
    name = name[: found.start()].strip() if found else name.strip()
    known: tuple[dict[str, Any], ...] = draft.best("amd.gpus") or ()
    same = (row for row in known if (row.get("name") == name if index is None else row["index"] == index))
    if len(known) >= MAX_AMD or not name or next(same, None):
        return
    row = {"index": len(known) if index is None else index, "name": name} | ({"gfx": found["gfx"]} if found else {})
    amd_rows((*known, row), line, draft)


def gfx_seen(gfx: str, line: Line, draft: Draft) -> None:
    """An architecture that a tool lists: that of a card known by its name, or another card's."""
    known: tuple[dict[str, Any], ...] = draft.best("amd.gpus") or ()
    if len(known) >= MAX_AMD or any(row.get("gfx") == gfx for row in known):
        return
    bare = next((row for row in known if "gfx" not in row), None)
    if bare is None:
        amd_rows((*known, {"index": len(known), "gfx": gfx}), line, draft)
    else:
        amd_rows(tuple(row | {"gfx": gfx} if row is bare else row for row in known), line, draft)


def amd_rows(rows: tuple[dict[str, Any], ...], line: Line, draft: Draft) -> None:
    """The list as it stands now: the more it says, the more it weighs."""
    draft.see("amd.gpus", rows, line, rank=5 + sum(map(len, rows)))
