"""Addresses taken apart by structure, so that no secret of a URL goes further than the reader of its file.

Not `urllib.parse`: it raises on some hostile addresses, reads others kindly (a password with a slash becomes a
path), and its import costs more than everything here.
"""

import re

from envcheck.model.base import Plain
from envcheck.model.patterns import regex

HIDDEN = "****"
_SCHEME = regex(r"[A-Za-z][A-Za-z0-9+.-]{1,30}")
_AUTHORITY_END = regex(r"[/?#\\]")
_PORT = regex(r"[0-9]{1,5}")
_LOCAL = regex(r"[/.~$%]|[A-Za-z]:[\\/]|\\\\")
_TOKEN = regex(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_-]{20,}")
_BLANK = regex(r"[\s\x00-\x1f\x7f]")
_LONGEST = 2048


class Address(Plain, frozen=True):
    """The parts of an address; `port` None: the scheme's own. `host` is lower case, an IPv6 one without brackets."""

    scheme: str
    host: str
    port: int | None
    path: str


def split(text: str) -> Address | None:
    """The parts of `text`, credentials, query and fragment left out; None when they cannot be told apart safely.

    A scheme may be missing (`proxy:8080`, `//proxy:8080`), then it is empty.
    """
    text = text.strip()
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "", text.removeprefix("//")
    if len(text) > _LONGEST or (scheme and not _SCHEME.fullmatch(scheme)):
        return None
    end = _AUTHORITY_END.search(rest)
    authority, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    # An @ behind the first slash can be the end of a password that has a slash in it: not told apart safely.
    host_port = None if "@" in tail else _host_port(authority.rpartition("@")[2])
    if host_port is None:
        return None
    return Address(scheme.lower(), *host_port, re.split(r"[?#]", tail, maxsplit=1)[0])


def without_credentials(text: str) -> str:
    """`text` (an address, or a path of this machine) without user, password, token, query and fragment.

    What cannot be told apart safely becomes `****` behind its scheme.
    """
    text = text.strip()
    if "://" not in text and not text.startswith("//") and _LOCAL.match(text):
        return text
    address = split(text)
    if address is None:
        scheme, mark, _ = text.partition("://")
        return f"{scheme}://{HIDDEN}" if mark and _SCHEME.fullmatch(scheme) else HIDDEN
    start = f"{address.scheme}://" if address.scheme else ""
    return start + _authority(address) + _without_tokens(address.path)


def host_of(text: str) -> str | None:
    """The host of an address that has a scheme, else None."""
    address = split(text) if "://" in text else None
    return address.host or None if address else None


def is_loopback(host: str) -> bool:
    """Whether `host` names this very machine."""
    return host in ("localhost", "::1") or host.endswith(".localhost") or host.startswith("127.")


def _host_port(authority: str) -> tuple[str, int | None] | None:
    if authority.startswith("["):
        host, closed, rest = authority[1:].partition("]")
        port = rest[1:] if closed and rest.startswith(":") else rest
    else:
        host, colon, port = authority.partition(":")
        closed, rest = "]", colon + port
    if not closed or (rest and not rest.startswith(":")) or _BLANK.search(host):
        return None
    if not port:
        return host.lower(), None
    if not _PORT.fullmatch(port) or int(port) > 65535:
        return None
    return host.lower(), int(port)


def _authority(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return host if address.port is None else f"{host}:{address.port}"


def _without_tokens(path: str) -> str:
    """`/t/TOKEN/main` (Anaconda) and long words of letters and digits (package hosts) hide their token."""
    words = path.split("/")
    for place, word in enumerate(words):
        if (place and words[place - 1] == "t" and word) or _TOKEN.fullmatch(word):
            words[place] = HIDDEN
    return "/".join(words)
