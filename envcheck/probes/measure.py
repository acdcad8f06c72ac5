"""What a mirror really serves, how fast, and from where: asked over the network, in bounded pieces."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from envcheck.catalogue.indexpage import ACCEPT, IndexPage, parse
from envcheck.model.base import Plain
from envcheck.model.urls import host_of, without_credentials
from envcheck.probes.proxies import Proxies, find, for_request
from envcheck.probes.system import Fetched, System

SAMPLE = 1 << 20
"""Bytes of a file that are fetched to measure the throughput."""
_LARGEST_PAGE = 16 << 20
_AT_ONCE = 8
_NO_HEAD = (403, 405, 501)
_MAGIC = {".whl": b"PK\x03\x04", ".zip": b"PK\x03\x04", ".conda": b"PK\x03\x04", ".bz2": b"BZh", ".gz": b"\x1f\x8b"}

Work = TypeVar("Work")
Done = TypeVar("Done")


class Offer(Plain, frozen=True):
    """One address of a file: whether it is really served there, and how well."""

    url: str
    ok: bool
    why: str | None = None
    """Why not: an error's name (`TIMEOUT`, `DNS`, `TLS`, ...), `HTTP 404`, or `NOT A FILE` for an answer that lies."""
    host: str | None = None
    """Who answered, after redirects."""
    latency_ms: float | None = None
    bytes_per_s: float | None = None
    size: int | None = None
    proxy: str | None = None


class Index(Plain, frozen=True):
    """A page of an index: whether it lists files, and where they would come from."""

    url: str
    ok: bool
    why: str | None = None
    """As in `Offer`; `NO FILES` where the page has no link to a package."""
    kind: str | None = None
    host: str | None = None
    latency_ms: float | None = None
    files: int = 0
    elsewhere: tuple[tuple[str, int], ...] = ()
    """Other hosts that the page sends for files, and for how many, most first."""
    sample: str | None = None
    """One of the files, to measure with: the last that is not withdrawn."""


class Asker:
    """Asks servers the way that installers would: through everybody's proxy, past it where NO_PROXY says so."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._proxies: Proxies = find(system, ())

    def rank(self, urls: Sequence[str], limit: float = 20.0) -> tuple[Offer, ...]:
        """The addresses of one file, those that truly serve it first, the fastest of them foremost.

        All are asked at once whether they have it; then each that has is measured alone, on `SAMPLE` bytes. `limit`
        is about the seconds for it all.
        """
        heads = _all_at_once(urls, lambda url: self.head(url, limit / 3))
        there = sorted((one for one in heads if one.ok), key=lambda one: one.latency_ms or 0.0)
        share = limit * 2 / 3 / max(1, len(there))
        measured = [self.measure(one, share) for one in there]
        measured.sort(key=lambda one: (not one.ok, -(one.bytes_per_s or 0.0)))
        return (*measured, *(one for one in heads if not one.ok))

    def head(self, url: str, limit: float) -> Offer:
        """Ask for a file's headers; a server that answers only GET passes, the measurement decides."""
        proxy = for_request(self._proxies, url)
        got = self._system.fetch(url, limit=limit, cap=65536, method="HEAD", proxy=proxy)
        why = None if got.status in _NO_HEAD else _error(got)
        shown = without_credentials(proxy) if proxy else None
        return Offer(url, why is None, why, host_of(got.url), got.ms, None, _size(got), shown)

    def measure(self, offer: Offer, limit: float) -> Offer:
        """Fetch the first `SAMPLE` bytes of a file and look at them."""
        asked = {"Range": f"bytes=0-{SAMPLE - 1}", "Accept-Encoding": "identity"}
        proxy = for_request(self._proxies, offer.url)
        got = self._system.fetch(offer.url, limit=limit, cap=SAMPLE, headers=asked, proxy=proxy)
        why = _error(got, cut_is_fine=True) or (None if _is_file(offer.url, got.body) else "NOT A FILE")
        return offer.but(
            ok=why is None,
            why=why,
            host=host_of(got.url) or offer.host,
            bytes_per_s=len(got.body) / got.ms * 1000 if why is None and got.ms else None,
            size=_size(got) or offer.size,
        )

    def examine(self, url: str, limit: float = 10.0, project: str = "torch") -> Index:
        """Read an index page at `url`; where it lists projects and not files, the page of `project`."""
        got, page = self._read(url, limit)
        index = _judge(url, got, page)
        onward = next((link for link in page.links if link.name == project), None) if page else None
        if index.why != "NO FILES" or onward is None:
            return index
        return _judge(onward.url, *self._read(onward.url, limit))

    def examine_all(self, urls: Sequence[str], limit: float = 10.0) -> tuple[Index, ...]:
        """`examine` each page, all at once."""
        return tuple(_all_at_once(urls, lambda url: self.examine(url, limit)))

    def _read(self, url: str, limit: float) -> tuple[Fetched, IndexPage | None]:
        proxy = for_request(self._proxies, url)
        got = self._system.fetch(url, limit=limit, cap=_LARGEST_PAGE, headers={"Accept": ACCEPT}, proxy=proxy)
        page = None if got.error else parse(got.body, got.headers.get("content-type", ""), got.url)
        return got, page


def rank(system: System, urls: Sequence[str], limit: float = 20.0) -> tuple[Offer, ...]:
    """`Asker.rank` with the proxies of this machine."""
    return Asker(system).rank(urls, limit)


def _judge(url: str, got: Fetched, page: IndexPage | None) -> Index:
    host, why = host_of(got.url), _error(got)
    files = [link for link in page.links if link.is_file] if page else []
    if why is None and not files:
        why = "NO FILES"
    if why is not None or page is None:
        return Index(url, False, why, host=host, latency_ms=got.ms)
    hosts = Counter(host_of(link.url) for link in files)
    elsewhere = tuple((name, count) for name, count in hosts.most_common(5) if name and name != host_of(url))
    good = [link for link in files if not link.yanked]
    return Index(url, True, None, page.kind, host, got.ms, len(files), elsewhere, (good or files)[-1].url)


def _error(got: Fetched, *, cut_is_fine: bool = False) -> str | None:
    if got.error == "HTTP":
        return f"HTTP {got.status}"
    return None if cut_is_fine and got.error == "TOOBIG" else got.error


def _is_file(url: str, body: bytes) -> bool:
    """Whether these bytes begin like the file that the address names; a page that says sorry does not."""
    magic = next((magic for end, magic in _MAGIC.items() if url.partition("#")[0].endswith(end)), b"")
    return bool(body) and body.startswith(magic)


def _size(got: Fetched) -> int | None:
    ranged = got.headers.get("content-range", "").rpartition("/")[2]
    text = ranged if ranged.isdecimal() else got.headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _all_at_once(items: Sequence[Work], work: Callable[[Work], Done]) -> list[Done]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return list(pool.map(work, items))
