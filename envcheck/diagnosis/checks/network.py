"""EC630 to EC639: an installer could not reach its server, or could not keep what it got."""

import re
from collections.abc import Iterator, Mapping

from envcheck.catalogue.mirrors import OFFICIAL, Mirror, mirror_of
from envcheck.catalogue.software import address, limit
from envcheck.diagnosis import environments, remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.machine import Said
from envcheck.diagnosis.resolution import never_built, unknown_folder
from envcheck.model.facts import Route
from envcheck.model.report import Evidence, Finding, Fix
from envcheck.model.text import say
from envcheck.model.urls import host_of, split

RESOLVE = ("EC622", "EC623", "EC627", "EC101", "EC102", "EC103", "EC309")
"""What an index that cannot be read looks like afterwards: no version, no Python, no matching distribution."""


def _routes(case: Case, *errors: str) -> tuple[Route, ...]:
    """Hosts whose first request failed in one of these ways."""
    return tuple(one for one in case.facts.routes or () if one.error and one.error.split(" ")[0] in errors)


def _reached(one: Route) -> Evidence:
    return fact(f"routes[{one.host}]", one.error or "", "preflight", one.proxy)


def _mirror(case: Case) -> Fix:
    what = say("Install by way of a mirror that can be reached")
    return remedies.envcheck(case, what, "install", "--mirror", "auto", alternative=True)


@check(
    "EC632",
    "ssl-module-missing",
    cause="ssl_module_missing",
    explains=("EC631", *RESOLVE),
    needs=("has_ssl",),
    hears=("ssl_module_missing",),
)
def ssl_module_missing(this: Check, case: Case) -> Iterator[Finding]:
    """This Python has no TLS.

    What it means: the interpreter's module `ssl` cannot be loaded, so that pip can reach no https address at all.
    The complaint about versions that follows is only a consequence.

    Common causes: on Windows, a conda environment that is not activated, so that its OpenSSL is not on PATH; a Python
    that was compiled without the headers of OpenSSL; an OpenSSL that was replaced.

    What to do: activate the environment and try again; otherwise use another build of Python.
    """
    said = case.said("ssl_module_missing")
    if not said and not (case.facts.python.has_ssl is False and case.facts.python.has_pip is not None):
        return
    conda = case.facts.python.kind == "conda" or case.facts.host.os == "windows"
    yield this.finding(
        say("This Python has no TLS, so pip cannot reach any index"),
        evidence=heard(said, 1) or (fact("python.has_ssl", "False", "interpreter"),),
        fixes=(
            *(
                (remedies.step(say("Activate the conda environment (conda activate NAME) and try again")),)
                if conda
                else ()
            ),
            *environments.new_environment(case, _python(case)),
        ),
        severity="error" if said else "warning",
    )


def _python(case: Case) -> str:
    version = case.facts.python.version
    if version:
        return ".".join(version.split(".")[:2])
    pythons = {python for build in case.catalogue.builds()[:40] for python in build.pythons if not python.endswith("t")}
    return max(pythons, key=lambda text: [int(part) for part in text.split(".")], default="3")


@check(
    "EC630",
    "proxy-error",
    cause="proxy_error",
    explains=("EC631", "EC633", "EC634", "EC635", "EC636", "EC639", *RESOLVE),
    needs=("route_shown",),
)
def proxy_error(this: Check, case: Case) -> Iterator[Finding]:
    """The proxy does not let the installer through.

    What it means: the installer sent its request to a proxy, and the proxy did not answer, refused, or closed the
    connection. The complaint about versions that follows is only a consequence.

    Common causes: a proxy program that is not running; a password that is missing; an address that begins with
    https:// although the proxy speaks http; a rule or node of the program that is dead.

    What to do: mend or remove the proxy setting, or let the package server be reached without it (NO_PROXY).
    """
    closed = case.said("proxy_closed_tls") if case.facts.proxies or _names_proxy(case) else ()
    said = case.said("proxy_error") or closed
    failed = _routes(case, "PROXY") + tuple(one for one in _routes(case, "HTTP") if one.error == "HTTP 407")
    if not said and not failed:
        return
    status = next((groups["status"] for _, groups in said if groups.get("status")), None)
    yield this.finding(
        say("The proxy does not let the installer through"),
        why=say("It answered: {status}", status=status) if status else None,
        evidence=(*heard(said, 1), *(_reached(one) for one in failed[:2])),
        fixes=(*_past_the_proxy(case), _mirror(case)),
    )


def _names_proxy(case: Case) -> bool:
    """Whether the variables that were shown set a proxy."""
    return any(one.name.casefold().endswith("_proxy") and one.value for one in case.facts.variables or ())


def _past_the_proxy(case: Case) -> tuple[Fix, ...]:
    names = [one.origin for one in case.facts.proxies or () if one.origin.casefold().endswith("_proxy")]
    names += [one.name for one in case.facts.variables or () if one.name.casefold() in ("https_proxy", "all_proxy")]
    unset = tuple(remedies.unset(case, name) for name in dict.fromkeys(names))
    if unset:
        return unset
    return (remedies.step(say("Switch the proxy off for this command, or start the proxy program again")),)


@check("EC631", "tls-error", cause="ssl_error", explains=("EC633", "EC634", "EC639", *RESOLVE), needs=("route_shown",))
def tls_error(this: Check, case: Case) -> Iterator[Finding]:
    """The encrypted connection to the server fails.

    What it means: the server's certificate was not accepted, or the connection broke while it was being encrypted.
    The complaint about versions that follows is only a consequence.

    Common causes: a company's proxy or an antivirus program that signs with its own certificate; a clock that is
    wrong; a certificate of the server that has expired; a VPN that closes the connection.

    What to do: see that the clock is right; name the company's certificate to the installer; try without the VPN.
    Do not switch the check of certificates off.
    """
    said = case.said("ssl_error") or case.said("proxy_closed_tls")
    failed = _routes(case, "TLS")
    if not said and not failed:
        return
    why = next((groups["why"].strip() for _, groups in said if groups.get("why", "").strip()), None)
    fixes = [remedies.step(say("See that the date and the time of this computer are right"))]
    if why and ("self" in why or "issuer" in why.casefold()):
        what = say("Name the certificate of the proxy to pip")
        certificate = remedies.pip(case, "config", "set", "global.cert", "CERTIFICATE.pem")
        fixes.insert(0, remedies.command(case, what, *certificate))
    yield this.finding(
        say("The encrypted connection to the package server fails"),
        why=say("The reason given is: {why}", why=why) if why else None,
        evidence=(*heard(said, 1), *(_reached(one) for one in failed[:2])),
        fixes=(*fixes, remedies.step(say("Try without VPN and proxy")), _mirror(case)),
    )


@check("EC633", "host-unreachable", cause="network_unreachable", explains=("EC634", *RESOLVE), needs=("route_shown",))
def host_unreachable(this: Check, case: Case) -> Iterator[Finding]:
    """The server's name cannot be resolved, or no way leads to it.

    What it means: the installer did not get as far as the server. The complaint about versions that follows is only
    a consequence.

    Common causes: no network; a name server that does not answer; a container or a compute node without a way out.

    What to do: see whether other programs reach the network; on a cluster, download on a login node.
    """
    said = case.said("network_unreachable")
    failed = _routes(case, "DNS", "UNREACHABLE")
    if not said and not failed:
        return
    host = next((groups["host"] for _, groups in said if groups.get("host")), None)
    yield this.finding(
        say("{host} cannot be reached", host=host) if host else say("The package server cannot be reached"),
        cause=_of_mirror(case) if said else None,
        evidence=(*heard(said, 1), *(_reached(one) for one in failed[:2])),
        fixes=(
            remedies.step(say("Check the network and its name server (DNS) of this machine or container")),
            _mirror(case),
        ),
    )


@check("EC634", "host-timeout", cause="network_timeout", explains=RESOLVE, needs=("route_shown",))
def host_timeout(this: Check, case: Case) -> Iterator[Finding]:
    """The server did not answer in time.

    What it means: a connection was tried and nothing came back, or the download stood still.

    Common causes: a slow or filtered line to the server; a firewall that drops packets; a proxy that hangs.

    What to do: try again with a longer time-out, or install by way of a nearer mirror.
    """
    said = case.said("network_timeout")
    failed = _routes(case, "TIMEOUT")
    if not said and not failed:
        return
    host = next((groups["host"] for _, groups in said if groups.get("host")), None)
    longer = remedies.pip(case, "install", "--timeout", "120", "--retries", "10", "torch")
    yield this.finding(
        say("{host} did not answer in time", host=host) if host else say("The package server did not answer in time"),
        evidence=(*heard(said, 1), *(_reached(one) for one in failed[:2])),
        fixes=(
            remedies.command(case, say("Give it more time, with the options of your own command added"), *longer),
            _mirror(case),
        ),
    )


@check("EC639", "connection-reset", cause="connection_reset", explains=("EC637", *RESOLVE), needs=("anything_said",))
def connection_reset(this: Check, case: Case) -> Iterator[Finding]:
    """The connection broke off.

    What it means: the server, or something on the way, closed the connection in the middle of a download.

    Common causes: an unstable line during a download of gigabytes; a firewall or proxy with a limit on size or time.

    What to do: try again; pip and uv keep what they have of other packages. A nearer mirror is more reliable.
    """
    said = case.said("connection_reset")
    if said:
        yield this.finding(
            say("The connection to the package server broke off"),
            cause=_of_mirror(case),
            evidence=heard(said, 1),
            fixes=(remedies.step(say("Run the command again")), _mirror(case)),
        )


def _official(url: str, case: Case) -> bool:
    """Whether an address is on PyTorch's own server."""
    hosts = {host_of(build.index) for build in case.catalogue.builds() if build.index}
    return host_of(url) in hosts


@check("EC635", "server-refuses", cause="mirror_403", explains=("EC629", *RESOLVE), needs=("anything_said",))
def server_refuses(this: Check, case: Case) -> Iterator[Finding]:
    """The server refuses with 403.

    What it means: the server was reached and refuses to serve this address to this computer or program.

    Common causes: a mirror that blocks the network of heavy users, a data centre or a VPN exit; a package that the
    mirror may not serve; a folder that does not exist (PyTorch's server answers 403 for those).

    What to do: try without the VPN or from another network; use another mirror. Mirrors tell in their news how to
    ask for the block to be lifted.
    """
    said = case.said("mirror_403")
    if not said or unknown_folder(case) is not None or never_built(case) is not None:
        return
    url = next((groups["url"] for _, groups in said if groups.get("url")), "")
    host = host_of(url) or None
    why = say("PyTorch's server answers so for a folder or file that does not exist") if _official(url, case) else None
    yield this.finding(
        say("{host} refuses to serve this computer (403)", host=host) if host else say("The server refuses (403)"),
        why=why,
        evidence=heard(said, 1),
        fixes=(remedies.step(say("Try without VPN, or use another mirror")), _mirror(case)),
        confidence="certain" if why is None else "likely",
    )


@check(
    "EC636",
    "mirror-connection-failed",
    cause="mirror_connection_failed",
    explains=("EC634", "EC629"),
    needs=("anything_said",),
)
def mirror_connection_failed(this: Check, case: Case) -> Iterator[Finding]:
    """Conda got no answer at all.

    What it means: "HTTP 000" is no answer of a server: the connection failed before one could come.

    Common causes: a proxy in .condarc or in the environment that is dead; a mirror that is down; a channel address
    that is wrong; a line that is too slow for conda's time limit.

    What to do: see the proxies and the channels that conda uses, and try another mirror.
    """
    said = case.said("mirror_connection_failed")
    if not said:
        return
    url = next((groups["url"] for _, groups in said if groups.get("url")), "")
    address = split(url)
    yield this.finding(
        say("conda cannot connect to {host}", host=address.host)
        if address
        else say("conda cannot connect to its channel"),
        evidence=heard(said, 1),
        fixes=(
            remedies.command(
                case, say("See conda's proxies and channels"), "conda", "config", "--show", "proxy_servers", "channels"
            ),
            remedies.command(case, say("Drop its cached indexes"), "conda", "clean", "-i", "-y"),
        ),
    )


def _is_mirror(url: str, known: Mapping[str, Mirror]) -> bool:
    found = mirror_of(url, known)
    return found is not None and found.name != OFFICIAL


def _of_mirror(case: Case) -> str | None:
    """The cause where the server that does not answer is a mirror that pip was told to ask: others may answer."""
    indexes = (one.value for one in case.facts.settings or () if one.tool == "pip" and one.key == "index-url")
    known = case.catalogue.mirrors()
    parts = [part for value in indexes for part in re.split(r"[,\s]+", value) if "://" in part]
    named = any(address(part) or _is_mirror(part, known) for part in parts)
    return "mirror_connection_failed" if named and case.pasted else None


@check("EC637", "hash-mismatch", cause="hash_mismatch", needs=("anything_said",))
def hash_mismatch(this: Check, case: Case) -> Iterator[Finding]:
    """A downloaded file is not the one that the index names.

    What it means: the file's hash differs from that in the index: it was cut short, changed on the way, or an older
    copy came out of a cache.

    Common causes: a large download that was interrupted; a bad file in pip's cache; a mirror or a proxy with an old
    copy.

    What to do: download again without the cache. When it happens again, use another mirror or no proxy.
    """
    said = case.said("hash_mismatch")
    if not said:
        return
    package = next((groups["package"] for _, groups in said if groups.get("package")), None)
    yield this.finding(
        say("The download of {package} is damaged", package=package) if package else say("A download is damaged"),
        evidence=heard(said, 1),
        fixes=(
            remedies.command(case, say("Empty the cache of pip"), *remedies.pip(case, "cache", "purge")),
            remedies.step(say("Run the command again with --no-cache-dir added")),
            _mirror(case),
        ),
    )


@check("EC638", "no-space", cause="no_space", explains=("EC304", "EC613"), needs=("anything_said",))
def no_space(this: Check, case: Case) -> Iterator[Finding]:
    """The disk is full.

    What it means: an installer could not write. It writes in three places: the environment, its cache, and the
    temporary folder, and the smallest of them decides.

    Common causes: `/tmp` in memory or on a small partition; a home quota; a container's small disk.

    What to do: see which place is full; point TMPDIR to a larger disk and go without the cache.
    """
    said: Said = case.said("no_space")
    if not said and case.pasted and case.said("torch_partial"):
        said = case.said("hint_full_disk")
    if not said:
        return
    free = tuple(
        fact(f"host.disks[{one.role}]", f"{one.path} {one.free_bytes}", "files") for one in case.facts.host.disks or ()
    )
    windows = case.facts.host.os == "windows"
    yield this.finding(
        say("There is no space left where the installer writes"),
        why=say("A CUDA build needs about {needed} GiB", needed=limit("install_gib_cuda")),
        evidence=(*heard(said, 1), *free[:3]),
        fixes=(
            *(() if windows else (remedies.command(case, say("See which place is full"), "df", "-h"),)),
            remedies.command(case, say("Empty the cache of pip"), *remedies.pip(case, "cache", "purge")),
            *(
                ()
                if windows
                else (
                    remedies.line(
                        say("Use a temporary folder on a larger disk"),
                        'export TMPDIR="$HOME/tmp" && mkdir -p "$TMPDIR"',
                    ),
                )
            ),
            remedies.step(say("Run the command again with --no-cache-dir added")),
        ),
    )


CHECKS = (
    ssl_module_missing,
    proxy_error,
    tls_error,
    host_unreachable,
    connection_reset,
    host_timeout,
    server_refuses,
    mirror_connection_failed,
    hash_mismatch,
    no_space,
)
