"""`--mirror auto`: ask every mirror for the very wheel that was planned, and take the fastest that has it."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from envcheck.catalogue.indexpage import ACCEPT, parse
from envcheck.catalogue.mirrors import Mirror
from envcheck.commands.world import World
from envcheck.model.errors import EnvcheckError, Exit
from envcheck.model.plan import Build
from envcheck.model.text import Text, say
from envcheck.probes.measure import Offer, rank
from envcheck.probes.proxies import Proxies, find, for_request

PATIENCE = 8.0
"""Seconds for a mirror's index page."""
_LARGEST_PAGE = 16 << 20


def fastest(world: World, build: Build, known: Mapping[str, Mirror], python: str | None = None) -> Mirror:
    """The mirror that truly serves `build` fastest; the measurements go to standard error.

    Raises:
        EnvcheckError: none of them serves it.
    """
    pages = {name: page for name, mirror in known.items() if (page := _page(mirror, build)) is not None}
    proxies = find(world.system, ())
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = dict(
            zip(pages, pool.map(lambda page: _wheel(world, page, build, proxies, python), pages.values()), strict=True)
        )
    wheels = {url: name for name, url in found.items() if url is not None}
    offers = rank(world.system, list(wheels))
    for name in (name for name, url in found.items() if url is None):
        world.warn(say("{mirror}: does not list {build}", mirror=name, build=f"torch {build.torch} {build.variant}"))
    for offer in offers:
        world.warn(_row(wheels[offer.url], offer))
    best = next((wheels[offer.url] for offer in offers if offer.ok), None)
    if best is None:
        mend = say("leave --mirror away, or name one")
        raise EnvcheckError(say("no mirror serves this build now"), mend=mend, code=Exit.UNKNOWN)
    return known[best]


def _page(mirror: Mirror, build: Build) -> str | None:
    """The page of `mirror` that would list the wheel."""
    record = mirror.torch_wheels
    if record is not None and (not record.variants or build.variant in record.variants):
        base = (record.at(build.variant) or "").rstrip("/")
        return f"{base}/" if record.index == "flat" else f"{base}/torch/"
    if build.on_default_index and mirror.pypi is not None and mirror.pypi.url:
        return f"{mirror.pypi.url.rstrip('/')}/torch/"
    return None


def _wheel(world: World, page: str, build: Build, proxies: Proxies, python: str | None) -> str | None:
    """The address of the wheel on that page."""
    headers = {"Accept": ACCEPT}
    proxy = for_request(proxies, page)
    got = world.system.fetch(page, limit=PATIENCE, cap=_LARGEST_PAGE, headers=headers, proxy=proxy)
    if got.error:
        return None
    links = parse(got.body, got.headers.get("content-type", ""), got.url).links
    tag = f"-cp{(python or build.pythons[-1]).replace('.', '')}-"
    names = {f"torch-{build.torch}{build.local}", f"torch-{build.torch}"}
    return next((link.url for link in links if _fits(link.name, names, tag, build)), None)


def _fits(name: str, names: set[str], tag: str, build: Build) -> bool:
    ends = {"linux": f"linux_{build.machine}.whl", "windows": "win_amd64.whl", "macos": f"{build.machine}.whl"}
    head = name.partition(tag)[0]
    return head in names and tag in name and name.endswith((ends[build.os], f"_{build.machine}.whl"))


def _row(name: str, offer: Offer) -> Text:
    if not offer.ok:
        return say("{mirror}: {why} ({host})", mirror=name, why=offer.why or "?", host=offer.host or "?")
    speed = f"{(offer.bytes_per_s or 0) / 1e6:.1f} MB/s"
    wait = f"{offer.latency_ms or 0:.0f} ms"
    return say("{mirror}: {speed}, {wait} ({host})", mirror=name, speed=speed, wait=wait, host=offer.host or "?")
