"""Which proxies are configured, where, and for which hosts they are passed over. Nothing is contacted."""

from collections.abc import Iterable, Iterator, Mapping

from envcheck.model.base import Plain
from envcheck.model.facts import Setting
from envcheck.model.urls import is_loopback, split
from envcheck.probes.system import System

ENVIRONMENT_SCHEMES = ("http", "https", "all")
_REGISTRY = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Internet Settings"


class Configured(Plain, frozen=True):
    """One configured proxy; `url` still has its credentials and must not leave the probes with them."""

    scheme: str
    url: str
    origin: str
    tool: str | None = None


class Bypass(Plain, frozen=True):
    """Which hosts go past the proxies: NO_PROXY's suffixes, or the patterns of an operating system."""

    items: tuple[str, ...] = ()
    origin: str = ""
    suffixes: bool = True
    simple_names: bool = False
    """Whether host names without a dot are passed over."""

    def covers(self, host: str, port: int = 443) -> bool:
        """Whether a connection to `host` would go past the proxies."""
        host = host.lower()
        if self.simple_names and "." not in host:
            return True
        if not self.suffixes:
            from fnmatch import fnmatchcase

            return any(fnmatchcase(host, item) for item in self.items)
        names = (host, f"{host}:{port}")
        return any(item == "*" or any(_ends_with(name, item) for name in names) for item in self.items)


class Proxies(Plain, frozen=True):
    """The proxies that everybody takes, and who is passed over."""

    shared: tuple[Configured, ...] = ()
    bypass: Bypass = Bypass()
    own: tuple[Configured, ...] = ()
    """Those of single tools; no bypass list counts for them."""


def find(system: System, settings: Iterable[Setting]) -> Proxies:
    """All proxies, as urllib and requests find them: the operating system's count when no variable is set."""
    shared, bypass = from_environment(system.environ)
    if not shared and not bypass.items and system.platform in ("win32", "darwin"):
        shared, bypass = from_windows(system) if system.windows else from_macos(system)
    return Proxies(shared, bypass, tuple(of_tools(settings)))


def in_force(proxies: Iterable[Configured], scheme: str = "https") -> Configured | None:
    """The proxy that a request of that scheme takes: its own scheme's, else the one for all."""
    listed = tuple(proxies)
    return next((one for wanted in (scheme, "all") for one in listed if one.scheme == wanted and one.url), None)


def for_request(proxies: Proxies, url: str) -> str | None:
    """The proxy, with its credentials, that a request of ours for `url` takes: everybody's, never a single tool's."""
    address = split(url)
    if address is None or is_loopback(address.host) or proxies.bypass.covers(address.host, address.port or 443):
        return None
    one = in_force(proxies.shared, address.scheme)
    return one.url if one else None


def from_environment(environ: Mapping[str, str]) -> tuple[tuple[Configured, ...], Bypass]:
    """Variables named `*_proxy`: lower case beats upper case, and an empty lower-case one hides the other.

    HTTP_PROXY is not used where REQUEST_METHOD is set: there it is a header that a web client sent.
    """
    chosen: dict[str, tuple[str, str]] = {}
    named = [(name, value, name[:-6].lower()) for name, value in environ.items() if name.lower().endswith("_proxy")]
    for name, value, scheme in named:
        if value and not (scheme == "http" and "REQUEST_METHOD" in environ):
            chosen[scheme] = (name, value)
    for name, value, scheme in named:
        if name.endswith("_proxy"):
            chosen[scheme] = (name, value)
    shared = tuple(
        Configured(scheme, chosen[scheme][1], chosen[scheme][0])
        for scheme in ENVIRONMENT_SCHEMES
        if scheme in chosen and chosen[scheme][1].strip()
    )
    name, value = chosen.get("no", ("", ""))
    return shared, Bypass(tuple(item.strip().lower() for item in value.split(",") if item.strip()), name)


def of_tools(settings: Iterable[Setting]) -> Iterator[Configured]:
    """Proxies that pip, uv and conda are told of in their own configuration."""
    for row in settings:
        if not row.effective:
            continue
        if row.tool == "pip" and row.key == "proxy":
            yield Configured("all", row.value, row.origin, "pip")
        elif row.tool == "uv" and row.key in ("http-proxy", "https-proxy"):
            yield Configured(row.key.partition("-")[0], row.value, row.origin, "uv")
        elif row.key.startswith("proxy_servers."):
            yield Configured(row.key.partition(".")[2], row.value, row.origin, "conda")


def from_windows(system: System) -> tuple[tuple[Configured, ...], Bypass]:
    """The Internet settings of the user, as `reg query` prints them."""
    program = system.which("reg")
    if program is None:
        return (), Bypass()
    out = system.run([system.place(program), "query", _REGISTRY], limit=2.0, cap=65536).stdout
    return windows_settings(out)


def windows_settings(printed: str) -> tuple[tuple[Configured, ...], Bypass]:
    """Proxies of a `reg query` listing: `host:port` for all schemes, or `http=host:port;https=...;socks=...`."""
    values: dict[str, str] = {}
    for line in printed.splitlines():
        words = line.split(None, 2)
        if len(words) == 3 and words[1].startswith("REG_"):
            values[words[0]] = words[2].strip()
    server = values.get("ProxyServer", "")
    if values.get("ProxyEnable") not in ("0x1", "1") or not server:
        return (), Bypass()
    origin = "Windows settings"
    listed = dict(part.split("=", 1) for part in server.split(";") if "=" in part) or {"http": server, "https": server}
    socks = listed.get("socks")
    fallback = f"socks4://{socks}" if socks and "://" not in socks else socks
    proxies = []
    for scheme in ("http", "https"):
        url = listed.get(scheme) or fallback
        if url:
            proxies.append(Configured(scheme, url if "://" in url else f"http://{url}", origin))
    override = [item.strip().lower() for item in values.get("ProxyOverride", "").split(";") if item.strip()]
    patterns = tuple(item for item in override if item != "<local>")
    return tuple(proxies), Bypass(patterns, origin, suffixes=False, simple_names="<local>" in override)


def from_macos(system: System) -> tuple[tuple[Configured, ...], Bypass]:
    """The network settings of macOS, as `scutil --proxy` prints them."""
    out = system.run(["/usr/sbin/scutil", "--proxy"], limit=2.0, cap=65536).stdout
    return macos_settings(out)


def macos_settings(printed: str) -> tuple[tuple[Configured, ...], Bypass]:
    """Proxies of a `scutil --proxy` listing; its SOCKS proxy is left out, since no installer takes it from there."""
    parts = (line.partition(" : ") for line in printed.splitlines())
    values = {key.strip(): value.strip() for key, found, value in parts if found}
    origin = "macOS settings"
    proxies = tuple(
        Configured(scheme.lower(), f"http://{values[scheme + 'Proxy']}:{values.get(scheme + 'Port', '80')}", origin)
        for scheme in ("HTTP", "HTTPS")
        if values.get(f"{scheme}Enable") == "1" and values.get(f"{scheme}Proxy")
    )
    patterns = tuple(value.lower() for key, value in values.items() if key.isdigit())
    return proxies, Bypass(patterns, origin, suffixes=False, simple_names=values.get("ExcludeSimpleHostnames") == "1")


def _ends_with(name: str, item: str) -> bool:
    item = item.lstrip(".")
    return bool(item) and (name == item or name.endswith("." + item))
