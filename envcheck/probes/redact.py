"""Facts without what belongs to a person: credentials, home directory, user and host names, addresses, GPU serials.

By structure: what is secret is known first (from the environment and the facts) and replaced as exact text; URLs are
taken apart. Equal things stay equal, so that a redacted snapshot gives the same report, which is why `doctor` judges
redacted facts too. The home directory becomes `~` and the user's name in a path `$USER`: a shell puts them back.
"""

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from envcheck.model.base import Plain
from envcheck.model.facts import Facts
from envcheck.model.patterns import regex
from envcheck.model.shell import HOME, USER
from envcheck.model.urls import HIDDEN, is_loopback, without_credentials
from envcheck.probes.system import System

_COMMON_NAMES = """
root user users admin administrator ubuntu debian centos fedora rocky ec2-user azureuser opc pi runner docker jovyan
nobody nvidia cuda torch pytorch python conda mamba app work workspace data home default test dev system ai ml gpu cpu
localhost host container bin lib usr opt tmp var mnt pip uv linux windows local site packages
"""
_COMMON = frozenset(_COMMON_NAMES.split())
"""Names that identify nobody, and that facts are full of."""
_SECRET_NAME = regex(
    r"TOKEN(?!IZ)|SECRET|PASSW|API_?KEY|ACCESS_?KEY|CREDENTIAL|PRIVATE_?KEY|_AUTH\b|_PAT\b", re.IGNORECASE
)
_HOST_NAMES = ("HOSTNAME", "COMPUTERNAME", "SLURMD_NODENAME")
_SWITCHES = frozenset(("enabled", "disabled", "required", "optional", "default", "always"))
_URL = regex(r"[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s'\"<>|`]{1,2048}")
_BARE_LOGIN = regex(r"[^\s:@/'\"]{1,64}:[^\s@'\"]{1,128}@(?=[A-Za-z0-9.-]{1,253}(?::\d|\.[a-z]{2}))")
_OTHERS_HOME = regex(r"(?<=[/\\]home[/\\])[^/\\\s'\":;,]+|(?<=[/\\]Users[/\\])[^/\\\s'\":;,]+", re.IGNORECASE)
_UUID = regex(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_SHORT_UUID = regex(r"(?<=GPU-)[0-9a-fA-F-]{4,35}|(?<=MIG-)[0-9a-fA-F-]{4,35}")
_NUMBERED = "00000000-0000-0000-0000-"
_IP = regex(
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d\.)(?!\w)|(?<=\[)[0-9A-Fa-f:]{2,39}:[0-9A-Fa-f:.]{1,39}(?=\])"
)
_IP_BY_CONTEXT = regex(
    r"(?:(?<=://)|(?<=@)|(?<=host=')|(?<=host )|(?<=address )|(?<=from )|(?<=to ))(?:\d{1,3}\.){3}\d{1,3}(?![\w.])"
    r"|(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?=:\d)"
)
_GROUPS = frozenset(
    ("root", "video", "render", "docker", "sudo", "wheel", "adm", "users", "nvidia", "vglusers", "admin")
)
_ADDRESS_ROOMS = frozenset(("proxies", "routes", "settings"))


class Secrets(Plain, frozen=True):
    """What is replaced wherever it stands: exact texts, and directories and names at the edges of words."""

    homes: tuple[str, ...] = ()
    user: str | None = None
    hosts: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    windows: bool = False
    """Whether letter case does not count in paths and names."""


def secrets_of(system: System) -> Secrets:
    """What must not leave this machine, from its environment."""
    home = (system.home() or "").rstrip("/\\")
    real = os.path.realpath(home) if home and not system.fake else home
    hosts = filter(None, (system.hostname(), *(system.env(name) for name in _HOST_NAMES)))
    words = [word for name, value in system.environ.items() for word in _words(name, value)]
    addresses = [
        found[0] for name in ("SSH_CONNECTION", "SSH_CLIENT") for found in _IP.finditer(system.env(name) or "")
    ]
    return Secrets(
        homes=tuple(dict.fromkeys(path for path in (home, real) if len(path) > 1)),
        user=_name(system.user()),
        hosts=tuple(dict.fromkeys(name for host in hosts for name in (host, host.partition(".")[0]) if _name(name))),
        words=tuple(sorted({word for word in words if len(word) > 2}, key=len, reverse=True)),
        addresses=tuple(addresses),
        windows=system.windows,
    )


def redact(facts: Facts, secrets: Secrets) -> Facts:
    """The same facts without secrets; doing it twice changes nothing."""
    pen = _Pen(secrets)
    first = ("nvidia", *sorted(_ADDRESS_ROOMS))
    rooms = dict.fromkeys((*first, *facts.__struct_fields__))
    struck: dict[str, Any] = {room: pen.walk(getattr(facts, room), room) for room in rooms}
    groups = tuple(name for name in facts.host.groups or () if name.lower() in _GROUPS)
    host = msgspec.structs.replace(struck["host"], groups=None if facts.host.groups is None else groups)
    return msgspec.structs.replace(facts, **{**struck, "host": host, "redacted": True})


class _Pen:
    """Strikes out, and remembers which pseudonym stands for what."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._uuids: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        for address in secrets.addresses:
            self._address(address)
        self._words = _any_of(secrets.words)
        case = re.IGNORECASE if secrets.windows else 0
        user = (secrets.user,) if secrets.user else ()
        self._homes = _any_of(secrets.homes, r"(?:(?<=://)|(?<![\w.~/\\-]))", r"(?![\w.-])", case)
        self._names = _any_of(user, r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])", case)
        self._host_names = tuple(name.lower() for name in secrets.hosts)
        self._hosts = _any_of(secrets.hosts, r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])", re.IGNORECASE)

    def walk(self, value: Any, room: str) -> Any:
        """`value` (one of the facts) with every text in it struck out."""
        if isinstance(value, str):
            return self.text(value, room)
        if isinstance(value, (tuple, list)):
            return type(value)([self.walk(item, room) for item in value])
        if isinstance(value, dict):
            return {key: self.walk(item, room) for key, item in value.items()}
        if isinstance(value, msgspec.Struct):
            fields = {name: self.walk(getattr(value, name), room) for name in value.__struct_fields__}
            return type(value)(**fields)
        return value

    def text(self, text: str, room: str) -> str:
        """One text of that room of the facts."""
        if self._words:
            text = self._words.sub(HIDDEN, text)
        if "@" in text or "://" in text:
            text = _URL.sub(lambda found: without_credentials(found[0]), text)
            text = _BARE_LOGIN.sub(HIDDEN + "@", text)
        if any(mark in text for mark in "/\\@ \n"):
            text = self._places(text)
        if text.count("-") > 3:
            text = _UUID.sub(lambda found: self._uuid(found[0]), text)
        if room == "variables" and ("GPU-" in text or "MIG-" in text):
            text = _SHORT_UUID.sub(lambda found: self._uuid(found[0]), text)
        if text.count(".") > 2 or "::" in text:
            text = self._without_addresses(text, room)
        return text

    def _places(self, text: str) -> str:
        """Paths and sentences without home, user and host."""
        if self._homes:
            text = self._homes.sub(HOME, text)
        if "home" in (lower := text.lower()) or "users" in lower:
            text = _OTHERS_HOME.sub(self._other, text)
        if self._names:
            text = self._names.sub(lambda found: "user" if text[found.end() : found.end() + 1] == "_" else USER, text)
        if self._hosts and any(name in text.lower() for name in self._host_names):  # most texts need no pattern
            text = self._hosts.sub("host", text)
        return text

    def _other(self, found: re.Match[str]) -> str:
        return found[0] if found[0] in (self._secrets.user, USER, "Public", "Shared", *_COMMON) else "user"

    def _uuid(self, uuid: str) -> str:
        uuid = uuid.lower()
        if uuid.startswith(_NUMBERED):
            return uuid
        known = [full for full in self._uuids if full.startswith(uuid)]
        full = known[0] if len(known) == 1 else uuid
        return self._uuids.setdefault(full, f"{_NUMBERED}{len(self._uuids) + 1:012d}")

    def _without_addresses(self, text: str, room: str) -> str:
        if room in _ADDRESS_ROOMS:
            return _IP.sub(lambda found: self._address(found[0]), text)
        text = _IP_BY_CONTEXT.sub(lambda found: self._address(found[0]), text)
        if room in ("messages", "observations", "variables"):
            for address, pseudonym in self._addresses.items():
                text = re.sub(rf"(?<![\w.]){re.escape(address)}(?![\w.])", pseudonym, text)
        return text

    def _address(self, address: str) -> str:
        """Stable stand-ins from the blocks kept for documentation."""
        if is_loopback(address) or address.startswith(("192.0.2.", "2001:db8:", "0.0.0.0")):  # noqa: S104 - compared
            return address
        number = len(self._addresses) + 1
        stand_in = f"2001:db8::{number:x}" if ":" in address else f"192.0.2.{number % 256}"
        return self._addresses.setdefault(address, stand_in)


def _any_of(texts: Iterable[str], before: str = "", after: str = "", flags: int = 0) -> re.Pattern[str] | None:
    ordered = sorted(filter(None, texts), key=len, reverse=True)
    return regex(before + "(?:" + "|".join(map(re.escape, ordered)) + ")" + after, flags) if ordered else None


def _name(name: str | None) -> str | None:
    """A name that says who or where; None for one that does not."""
    return name if name and len(name) > 1 and name.lower() not in _COMMON and not name.isdigit() else None


def _words(name: str, value: str) -> Iterator[str]:
    """Secrets in an environment variable: what its name says, and logins, queries and tokens of URLs in it."""
    if _SECRET_NAME.search(name) and len(value) > 5 and value not in _SWITCHES and not value.startswith("/"):
        yield value
    for part in re.split(r"[\s,;]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", value) if "@" in value or "?" in value else ():
        rest = part.rpartition("://")[2]
        if rest == part and not name.lower().endswith("proxy"):
            continue
        login = rest.rpartition("@")[0]
        if "/" not in login.partition(":")[0]:  # an @ in a path is no login
            yield from (word for half in login.split(":", 1) for word in _spellings(half))
        yield from (pair.partition("=")[2] for pair in rest.partition("?")[2].split("&") if len(pair) > 8)


def _spellings(word: str) -> tuple[str, ...]:
    """A part of a login as the URL has it, and as it is meant."""
    if word.lower() in _COMMON or len(word) < 3:
        return ()
    plain = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), word.encode())
    return word, plain.decode("utf-8", "replace")
