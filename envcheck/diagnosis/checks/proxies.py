"""EC606 to EC611: proxies that stand between the installers and their servers."""

from collections.abc import Iterator

from envcheck.catalogue.software import limit
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.model.facts import Proxy
from envcheck.model.report import Evidence, Finding, Fix
from envcheck.model.text import say
from envcheck.model.urls import is_loopback, split

NETWORK = ("EC630", "EC631", "EC633", "EC634", "EC636", "EC639")


def _proxy(one: Proxy) -> Evidence:
    return fact(f"proxies[{one.tool or 'all'}.{one.scheme}]", one.url, "proxies", one.origin)


def _scheme(one: Proxy) -> str:
    address = split(one.url)
    return address.scheme if address else ""


def without(case: Case, one: Proxy) -> tuple[Fix, ...]:
    """How to go without that proxy."""
    if one.tool == "pip":
        return (
            remedies.command(case, say("Remove pip's proxy"), *remedies.pip(case, "config", "unset", "global.proxy")),
        )
    if one.tool == "conda":
        return (
            remedies.command(case, say("Remove conda's proxies"), "conda", "config", "--remove-key", "proxy_servers"),
        )
    if _is_variable(one.origin):
        return (remedies.unset(case, one.origin),)
    return (remedies.step(say("Switch it off in {where}", where=one.origin)),)


def corrected(case: Case, one: Proxy, url: str) -> Fix:
    """How to write that proxy in another way."""
    if _is_variable(one.origin):
        return remedies.set_variable(case, one.origin, url)
    if one.tool == "pip":
        return remedies.command(case, say("Correct it"), *remedies.pip(case, "config", "set", "global.proxy", url))
    return remedies.step(say("Write {url} in {where}", url=url, where=one.origin))


@check("EC606", "proxy-dead", severity="warning", cause="proxy_error", explains=NETWORK, needs=("proxies",))
def proxy_dead(this: Check, case: Case) -> Iterator[Finding]:
    """A configured proxy does not answer.

    What it means: programs send their requests to a proxy on this computer, and no program listens there. Every
    installation fails with messages that look like a wrong version or a broken network.

    Common causes: a proxy program that was closed and left its variables or settings behind.

    What to do: start the proxy program again, or remove the setting.
    """
    dead = [one for one in case.facts.proxies or () if one.answers is False]
    for one in dead[:1]:
        yield this.finding(
            say("The proxy {url} does not answer", url=one.url),
            evidence=tuple(_proxy(each) for each in dead[:4]),
            fixes=(
                *_without_all(case, dead),
                remedies.step(say("Start the program that serves {url}", url=one.url), alternative=True),
            ),
        )


def _without_all(case: Case, proxies: list[Proxy]) -> tuple[Fix, ...]:
    by_origin = {one.origin: one for one in proxies}
    variables = [name for name, one in by_origin.items() if one.tool is None and _is_variable(name)]
    others = [one for name, one in by_origin.items() if name not in variables]
    unset = (remedies.unset(case, *variables),) if variables else ()
    return (*unset, *(fix for one in others for fix in without(case, one)))


def _is_variable(origin: str) -> bool:
    return origin.casefold().endswith("_proxy")


@check(
    "EC607",
    "proxy-https-scheme",
    severity="warning",
    cause="proxy_error",
    explains=NETWORK,
    needs=("proxies",),
    hears=("proxy_scheme",),
)
def proxy_https_scheme(this: Check, case: Case) -> Iterator[Finding]:
    """A proxy on this computer is addressed with https://.

    What it means: pip speaks TLS to a proxy whose address begins with https://. Proxy programs on the own computer
    speak plain HTTP to their clients, also for https pages, so that the connection fails.

    Common causes: `https_proxy=https://127.0.0.1:PORT`, written because the variable is named https; a system proxy
    of Windows that an old Python turned into such an address.

    What to do: write http:// in front of the address of the proxy.
    """
    found = [one for one in case.facts.proxies or () if _scheme(one) == "https" and is_loopback(_host(one))]
    said = case.said("proxy_scheme")
    for one in found[:1]:
        yield this.finding(
            say("The proxy {url} is addressed with https, and such proxies speak http", url=one.url),
            evidence=(*(_proxy(each) for each in found[:3]), *heard(said, 1)),
            fixes=tuple(corrected(case, each, "http://" + each.url.partition("://")[2]) for each in found[:2]),
        )
    if said and not found:
        yield this.finding(
            say("The proxy speaks http, and its address says https"),
            evidence=heard(said, 1),
            fixes=(remedies.step(say("Write http:// in front of the proxy's address, also for https pages")),),
            severity="error",
            confidence="likely" if any("WRONG_VERSION" in message.text for message, _ in said) else "certain",
        )


def _host(one: Proxy) -> str:
    address = split(one.url)
    return address.host if address else ""


@check(
    "EC608",
    "socks-unsupported",
    severity="warning",
    cause="proxy_error",
    explains=NETWORK,
    needs=("proxies",),
    hears=("socks_unsupported",),
)
def socks_unsupported(this: Check, case: Case) -> Iterator[Finding]:
    """A SOCKS proxy is configured, and this Python cannot speak SOCKS.

    What it means: pip and conda need the package PySocks for such a proxy. To install it they would need the proxy.

    Common causes: `all_proxy=socks5://...` in a fresh environment.

    What to do: install PySocks with the proxy switched off, or use the http port that most proxy programs offer too.
    """
    found = [one for one in case.facts.proxies or () if one.socks_supported is False]
    said = case.said("socks_unsupported")
    if not found and not said:
        return
    bypass = remedies.pip(case, "install", "pysocks")
    yield this.finding(
        say("A SOCKS proxy is configured, and PySocks is not installed"),
        evidence=(*(_proxy(one) for one in found[:3]), *heard(said, 1)),
        fixes=(
            *_without_all(case, found),
            remedies.command(case, say("Install PySocks without the proxy"), *bypass),
            remedies.step(say("Give the http port of the proxy program"), alternative=True),
        ),
        severity="error" if said else "warning",
    )


@check(
    "EC609",
    "socks-scheme-unknown",
    severity="warning",
    cause="proxy_error",
    explains=("EC608", *NETWORK),
    needs=("proxies",),
    hears=("socks_scheme",),
)
def socks_scheme_unknown(this: Check, case: Case) -> Iterator[Finding]:
    """The address of a SOCKS proxy does not say which SOCKS.

    What it means: desktop settings write `socks://`, which pip and conda do not know. uv passes over it silently
    and goes without the proxy.

    Common causes: the proxy settings of GNOME, which set `all_proxy=socks://...`.

    What to do: write `socks5h://` in place of `socks://`.
    """
    found = [one for one in case.facts.proxies or () if _scheme(one) == "socks"]
    said = case.said("socks_scheme")
    for one in found[:1]:
        yield this.finding(
            say("{url} does not say which version of SOCKS", url=one.url),
            evidence=(_proxy(one), *heard(said, 1)),
            fixes=(corrected(case, one, "socks5h://" + one.url.partition("://")[2]),),
            severity="error" if said else "warning",
        )
    if said and not found:
        yield this.finding(
            say("The address of a SOCKS proxy does not say which version of SOCKS"),
            evidence=heard(said, 1),
            fixes=(remedies.step(say("Write socks5h:// in place of socks:// in the proxy's address")),),
            severity="error",
        )


@check("EC610", "fake-ip", severity="info", needs=("routes",))
def fake_ip(this: Check, case: Case) -> Iterator[Finding]:
    """A VPN program answers for the names of package servers.

    What it means: the server's name resolves to an address that no server on the Internet has. A program of the
    kind of Clash in TUN mode takes all traffic and leaves no proxy setting that could be seen.

    Common causes: TUN mode with fake addresses. It is likely, not certain.

    What to do: nothing while downloads work. Otherwise let that program send package servers directly.
    """
    for route in case.facts.routes or ():
        if route.address and _inside(route.address, limit("fake_ip")):
            yield this.finding(
                say(
                    "{host} resolves to {address}: a VPN program answers for it", host=route.host, address=route.address
                ),
                evidence=(fact(f"routes[{route.host}]", route.address, "proxies"),),
                fixes=(remedies.step(say("Let the VPN program send package servers directly")),),
                confidence="likely",
            )
            return


def _inside(text: str, network: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(text) in ipaddress.ip_network(network)
    except ValueError:
        return False


@check("EC611", "conda-proxy-stays", severity="info", needs=("proxies",))
def conda_proxy_stays(this: Check, case: Case) -> Iterator[Finding]:
    """Conda uses its own proxy, whatever the shell says.

    What it means: `proxy_servers` in .condarc counts more than HTTPS_PROXY and NO_PROXY. Switching the proxy off in
    the shell does not change it for conda.

    Common causes: a proxy that was written into .condarc once.

    What to do: nothing while that proxy works; otherwise remove the key.
    """
    own = [one for one in case.facts.proxies or () if one.tool == "conda"]
    shared = [one for one in case.facts.proxies or () if one.tool is None]
    differs = not shared or {one.url for one in own} - {one.url for one in shared}
    if own and differs:
        yield this.finding(
            say("conda uses the proxy {url}, whatever the shell says", url=own[0].url),
            evidence=(_proxy(own[0]),),
            fixes=without(case, own[0]),
        )


CHECKS = (
    proxy_dead,
    proxy_https_scheme,
    socks_scheme_unknown,
    socks_unsupported,
    fake_ip,
    conda_proxy_stays,
)
