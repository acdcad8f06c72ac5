"""How the hosts that matter would be reached: proxies, whom they serve, whether they answer.

`look` is offline but for loopback proxies: no name is resolved, nothing leaves the machine. `preflight` asks before
a download, when the person wants one anyway.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from envcheck.model.facts import Observation, Proxy, Python, Route, Setting
from envcheck.model.urls import host_of, is_loopback, split, without_credentials
from envcheck.probes.outcome import since
from envcheck.probes.proxies import Configured, Proxies, find, in_force
from envcheck.probes.settings_conda import conda_root
from envcheck.probes.settings_reader import join
from envcheck.probes.system import System

DEFAULT_INDEX = "default index"
_PORTS = {"": 80, "http": 80, "https": 443}
_SOCKS_PORT = 1080
_LOOPBACK_LIMIT = 0.5
_ADDRESS_KEYS = (
    "index-url", "extra-index-url", "find-links", "default-index", "index", "explicit-index",
    "channels", "default_channels", "channel_alias",
)  # fmt: skip

Look = tuple[tuple[Proxy, ...], tuple[Route, ...], tuple[Observation, ...]]


def look(system: System, settings: Sequence[Setting], python: Python | None = None) -> Look:
    """Proxies, the route to every host of interest, and how the look went; offline but for loopback proxies."""
    begun = time.monotonic()
    found = find(system, settings)
    proxies = _proxies(system, found, python or Python(), ask=_only_loopback)
    routes = tuple(_routes(found, hosts_of_interest(settings)))
    return proxies, routes, (Observation(look="proxies", state="ok", ms=since(begun)),)


def preflight(
    system: System,
    hosts: Sequence[str],
    settings: Sequence[Setting] = (),
    python: Python | None = None,
    limit: float = 5.0,
) -> Look:
    """As `look`, for `hosts`, and each is asked: proxies are connected to, names resolved, one HEAD request made.

    Takes about `limit` seconds at most. Facts only: judging them is for the checks.
    """
    from concurrent.futures import ThreadPoolExecutor

    begun = time.monotonic()
    found = find(system, settings)
    routes = tuple(_routes(found, hosts))
    with ThreadPoolExecutor(max_workers=8) as pool:
        asked = [pool.submit(_ask, system, found, route, limit) for route in routes]
        proxies = _proxies(system, found, python or Python(), ask=lambda _host: min(limit, 1.0))
        routes = tuple(one.result() for one in asked)
    return proxies, routes, (Observation(look="preflight", state="ok", ms=since(begun)),)


def hosts_of_interest(settings: Iterable[Setting]) -> tuple[str, ...]:
    """Hosts that an installation would contact: PyTorch's, the default index' or its stand-in, configured mirrors."""
    from envcheck.catalogue.mirrors import official_host

    rows = tuple(settings)
    configured = [host for row in rows if row.effective and _names_host(row) and (host := host_of(row.value))]
    replaced = any(row.effective and row.tool == "pip" and row.key in ("index-url", "no-index") for row in rows)
    first = (official_host(),) if replaced else (official_host(), DEFAULT_INDEX)
    return tuple(dict.fromkeys((*first, *configured)))


def _names_host(row: Setting) -> bool:
    return row.key in _ADDRESS_KEYS or row.key.startswith(("custom_channels.", "custom_multichannels."))


def route(found: Proxies, host: str, tool: str | None = None) -> Route | None:
    """The way to `host`; None when that cannot be told (a host without a name and a list of exceptions)."""
    own = in_force(one for one in found.own if one.tool == tool) if tool else None
    if own is not None:
        return Route(host=host, tool=tool, proxy=without_credentials(own.url), why=own.origin)
    proxy = in_force(found.shared)
    if proxy is None:
        return Route(host=host, tool=tool)
    if host == DEFAULT_INDEX and found.bypass.items and "*" not in found.bypass.items:
        return None
    if found.bypass.covers(host):
        return Route(host=host, tool=tool, why=found.bypass.origin)
    return Route(host=host, tool=tool, proxy=without_credentials(proxy.url), why=proxy.origin)


def _routes(found: Proxies, hosts: Sequence[str]) -> Iterable[Route]:
    tools = dict.fromkeys(one.tool for one in found.own)
    for tool in (None, *tools):
        ways = (route(found, host, tool) for host in hosts)
        yield from (way for way in ways if way is not None)


def _only_loopback(host: str) -> float | None:
    return _LOOPBACK_LIMIT if is_loopback(host) else None


def _proxies(system: System, found: Proxies, python: Python, ask: Callable[[str], float | None]) -> tuple[Proxy, ...]:
    """Each proxy as a fact; `ask` gives the seconds to wait for an answer of its host, None: do not connect."""
    answers: dict[tuple[str, int], bool] = {}
    described = []
    for one in (*found.shared, *found.own):
        address = split(one.url)
        place = (address.host, address.port or _PORTS.get(address.scheme, _SOCKS_PORT)) if address else None
        limit = ask(place[0]) if place else None
        if place and limit and place not in answers:
            answers[place] = system.connect(*place, limit) is None
        described.append(
            Proxy(
                scheme=one.scheme,
                url=without_credentials(one.url),
                origin=one.origin,
                tool=one.tool,
                answers=answers.get(place) if place else None,
                socks_supported=_socks_supported(system, one, python),
            )
        )
    return tuple(described)


def _socks_supported(system: System, one: Configured, python: Python) -> bool | None:
    """Whether the tool could speak SOCKS to it; None: it need not, or that cannot be told."""
    if not one.url.lower().startswith("socks"):
        return None
    if one.tool == "uv":
        return True
    if one.tool == "conda":
        root = conda_root(system)
        names = system.listdir(join(system, root, "conda-meta")) if root else None
        return None if names is None else any(name.startswith("pysocks-") for name in names)
    if python.sys_path is None:
        return None
    files = system.unrooted()
    return any(files.exists(join(system, folder, "socks.py")) for folder in python.sys_path if folder)


def _ask(system: System, found: Proxies, way: Route, limit: float) -> Route:
    """Make one request the way that a tool would, and say how it went."""
    if way.host == DEFAULT_INDEX:
        return way
    address = None
    if way.proxy is None:
        addresses = system.resolve(way.host, limit)
        address = addresses[0] if addresses else None
        if address is None:
            return msgspec.structs.replace(way, error="DNS", asked=True)
    if way.tool is not None and way.proxy is not None:
        return way  # a tool's own proxy may want a password, which its settings no longer hold
    proxy = in_force(found.shared)
    answer = system.fetch(
        f"https://{way.host}/", method="HEAD", limit=limit, cap=65536, proxy=proxy.url if proxy and way.proxy else None
    )
    # Any status of the host itself shows that it was reached; 407 is the proxy's.
    error = None if answer.error == "HTTP" and answer.status != 407 else answer.error
    return msgspec.structs.replace(way, address=address, error=error, asked=True)
