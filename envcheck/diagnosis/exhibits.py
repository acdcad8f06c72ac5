"""Evidence out of facts: each finding shows the very values that it rests on."""

from envcheck.diagnosis.machine import Said
from envcheck.model.facts import (
    ApiStatus,
    DeviceNode,
    KernelModule,
    Library,
    Message,
    Observation,
    PciDevice,
    Python,
    Sighting,
)
from envcheck.model.report import Evidence

_WIDTH = 240
_ROOMS = {"/dev/kfd": "amd.kfd", "/dev/dri": "amd.render_nodes"}


def fact(path: str, value: object, look: str | None = None, where: str | None = None) -> Evidence:
    """A fact by its path."""
    return Evidence(fact=path, value=str(value), look=look, where=where)


def spoken(message: Message, groups: dict[str, str] | None = None) -> Evidence:
    """The line of a message that tells: where what was recognised begins, else one with an error, else the first."""
    lines = [line.strip() for line in message.text.splitlines() if line.strip()] or [""]
    matched = getattr(groups, "matched", "").strip().splitlines()
    wanted = matched[:1] or [value for value in (groups or {}).values() if value.strip()]
    telling = [line for line in lines if any(value.strip() in line for value in wanted)]
    errors = [line for line in lines if "rror" in line]
    line = (telling or errors[-1:] or lines)[0]
    path = message.where if message.where and message.where.startswith(("torch.", "nvidia.")) else "messages"
    return Evidence(fact=path, value=line[:_WIDTH], look=message.look, where=_line_of(message, line))


def _line_of(message: Message, line: str) -> str | None:
    """Where `line` of a message stands: of pasted text its own number, not that of the paragraph's first line."""
    first, colon, _ = (message.where or "").partition(": ")
    if not colon or not first.isdigit():
        return message.where
    below = next((number for number, text in enumerate(message.text.splitlines()) if text.strip() == line), 0)
    return f"{int(first) + below}: {line[:_WIDTH]}"


def heard(said: Said, limit: int = 2) -> tuple[Evidence, ...]:
    """The first few messages that were recognised."""
    return tuple(spoken(message, groups) for message, groups in said[:limit])


def sightings(path: str, seen: tuple[Sighting, ...]) -> tuple[Evidence, ...]:
    """One value as each look saw it."""
    return tuple(fact(path, one.value, one.look, one.where) for one in seen)


def pci(device: PciDevice) -> Evidence:
    """A card on the bus and the kernel driver bound to it."""
    silent = " revision=ff" if device.revision == "ff" else ""
    value = f"{device.address} [{device.vendor}:{device.device}] driver={device.driver or '-'}{silent}"
    return fact("pci", value, "pci")


def module(found: KernelModule) -> Evidence:
    """A kernel module's state."""
    words = [found.name, "loaded" if found.loaded else "not loaded", found.version, found.flavour]
    return fact("nvidia.modules", " ".join(word for word in words if word), found.look)


def node(found: DeviceNode) -> Evidence:
    """A node below /dev and what opening it said."""
    words = [found.path, found.error, found.mode, found.group]
    room = next((room for start, room in _ROOMS.items() if found.path.startswith(start)), "nvidia.nodes")
    return fact(room, " ".join(word for word in words if word), "files")


def library(found: Library) -> Evidence:
    """What the loader did with a library."""
    words = [found.name, found.path, found.version, found.error]
    return fact("nvidia.libraries", " ".join(word for word in words if word), found.look)


def status(found: ApiStatus) -> Evidence:
    """A driver call that did not succeed."""
    words = [found.call, str(found.code), found.name, found.text]
    return fact("nvidia.statuses", " ".join(word for word in words if word)[:_WIDTH], found.look)


def look(found: Observation) -> Evidence:
    """How a look ended."""
    words = [found.state, found.stage, found.signal, None if found.ms is None else f"{found.ms:.0f} ms", found.detail]
    return fact(f"observations.{found.look}", " ".join(word for word in words if word)[:_WIDTH], found.look)


def interpreter(python: Python) -> Evidence:
    """The version of the interpreter."""
    return fact("python.version", python.version, python.look)
