"""How the hosts that matter would be reached: proxies, whom they serve, whether they answer.

`look` is offline but for loopback proxies: no name is resolved, nothing leaves the machine. `preflight` asks before
a download, when the person wants one anyway.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from envcheck.model.facts import Facts, Observation, Proxy, Python, Route, Setting
from envcheck.model.urls import host_of, is_loopback, split, without_credentials
from envcheck.probes.outcome import since
from envcheck.probes.proxies import Configured, Proxies, find, in_force
from envcheck.probes.settings_conda import conda_root
from envcheck.probes.settings_reader import join
from envcheck.probes.system import Fetched, System

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
    """As `look`, for `hosts` (names, or addresses of http servers), and each of them is asked.

    Proxies are connected to, names resolved, one HEAD request made to each host; this machine itself is not asked.
    Takes about `limit` seconds at most. Facts only: judging them is for the checks.
    """
    from concurrent.futures import ThreadPoolExecutor

    begun = time.monotonic()
    found = find(system, settings)
    named = {host_of(one) or one: one for one in hosts}
    with ThreadPoolExecutor(max_workers=8) as pool:
        asked = [pool.submit(_ask, system, found, way, named[way.host], limit) for way in _routes(found, tuple(named))]
        proxies = _proxies(system, found, python or Python(), ask=lambda _host: min(limit, 1.0))
        routes = tuple(one.result() for one in asked)
    return proxies, routes, (Observation(look="preflight", state="ok", ms=since(begun)),)


def before_download(system: System, facts: Facts, words: Iterable[str], limit: float = 5.0) -> Facts:
    """`facts` with what `preflight` says of the hosts that a command and the configuration name.

    `words` are the command's argv. Hosts that only a tool knows (its default index) are not asked. The answer is
    redacted as facts are.
    """
    from envcheck.probes import settings as configuration
    from envcheck.probes.redact import redact, secrets_of

    settings = configuration.look(system, facts.python, system.cwd())[0]  # those in `facts` are redacted
    configured = (row.value for row in settings if row.effective and _names_host(row))
    hosts = [word for word in (*words, *configured) if word.startswith(("http://", "https://")) and host_of(word)]
    proxies, routes, seen = preflight(system, hosts, settings, facts.python, limit)
    whole = msgspec.structs.replace(facts, proxies=proxies, routes=routes, observations=(*facts.observations, *seen))
    return redact(whole, secrets_of(system))


def hosts_of_interest(settings: Iterable[Setting]) -> tuple[str, ...]:
    """Hosts that an installation would contact: PyTorch's, the default index' or its stand-in, configured mirrors."""
    from envcheck.catalogue.files import official_host

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


def _ask(system: System, found: Proxies, way: Route, named: str, limit: float) -> Route:
    """Make one request the way that a tool would, and say how it went."""
    if way.host == DEFAULT_INDEX or is_loopback(way.host) or (way.tool is not None and way.proxy is not None):
        return way  # a tool's own proxy may want a password, which its settings no longer hold
    addresses = () if way.proxy else system.resolve(way.host, limit)
    if addresses is None:
        return msgspec.structs.replace(way, error="DNS", asked=True)
    proxy = in_force(found.shared) if way.proxy else None
    start = named.partition("://")[0] + "://" if "://" in named else "https://"
    rest = named.partition("://")[2].partition("/")[0].rpartition("@")[2] or way.host
    answer = system.fetch(start + rest + "/", method="HEAD", limit=limit, cap=65536, proxy=proxy.url if proxy else None)
    return msgspec.structs.replace(
        way, address=addresses[0] if addresses else None, error=_failure(answer, through=proxy is not None), asked=True
    )


def _failure(answer: Fetched, *, through: bool) -> str | None:
    """Any status of the host itself shows that it was reached; a connection that breaks off behind a proxy is its."""
    if answer.error == "HTTP":
        return "HTTP 407" if answer.status == 407 else None
    certificate = "certificate" in (answer.detail or "").lower()
    broke_off = through and answer.error in ("TLS", "RESET", "PROTOCOL") and not certificate
    return "PROXY" if broke_off else answer.error
