"""http and https, as `System.fetch` promises them; loaded when something is fetched."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from envcheck.probes.outcome import error_name, since
from envcheck.probes.system import Fetched


def fetch(url: str, until: float, cap: int, headers: Mapping[str, str], proxy: str | None, method: str) -> Fetched:
    """The work of `System.fetch`, which says what it does; it runs in a thread that is left alone at `until`."""
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.parse import urlsplit
    from urllib.request import Request

    begun = time.monotonic()
    scheme, _, rest = url.partition("://")
    authority, slash, tail = rest.partition("/")
    shown = f"{scheme}://{authority.rpartition('@')[2]}{slash}{tail}"
    if scheme.lower() not in ("http", "https"):
        return Fetched(shown, None, {}, b"", "SCHEME", None, since(begun))
    try:
        _ = urlsplit(shown).port  # raises when it is none
        request = Request(shown, headers={"Accept-Encoding": "gzip", **headers}, method=method)  # noqa: S310 - checked
        with contextlib.closing(_open(request, proxy, until - begun)) as answer:
            body, error = _body(answer, until, cap)
            names = {key.lower(): value for key, value in answer.headers.items()}
            error = error or ("HTTP" if answer.status >= 400 else "REDIRECTS" if answer.status >= 300 else None)
            return Fetched(answer.url, answer.status, names, body, error, str(answer.reason), since(begun))
    except (OSError, HTTPException, ValueError, EOFError) as raised:
        why = raised.reason if isinstance(raised, URLError) else raised
        return Fetched(shown, None, {}, b"", _network_error(why), str(why), since(begun))


def _open(request: Any, proxy: str | None, limit: float) -> Any:
    """The answer to a request, an error page too; none of urllib's environment, file and ftp handlers."""
    import urllib.request as web
    from urllib.error import HTTPError

    class Via(web.BaseHandler):
        handler_order = 100

        def http_request(self, request: Any) -> Any:
            if proxy:
                _use_proxy(request, proxy)
            return request

        https_request = http_request

    class Redirect(web.HTTPRedirectHandler):
        followed = 0
        http_error_308 = web.HTTPRedirectHandler.http_error_302

        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            self.followed += 1
            down = not newurl.startswith("https://" if req.type == "https" else ("http://", "https://"))
            if self.followed > 5 or down:
                fp.close()
                raise _RefusedError("DOWNGRADE" if down else "REDIRECTS")
            followed = super().redirect_request(req, fp, code, msg, headers, newurl)
            if followed is not None and req.get_method() == "HEAD":
                followed.method = "HEAD"
            return followed

    director = web.OpenerDirector()
    for handler in (
        Via,
        Redirect,
        web.HTTPHandler,
        web.HTTPSHandler,
        web.HTTPErrorProcessor,
        web.HTTPDefaultErrorHandler,
    ):
        director.add_handler(handler())
    try:
        return director.open(request, timeout=max(0.1, min(10.0, limit)))
    except HTTPError as error:
        return error


class _RefusedError(OSError):
    """A redirect that is not followed; its text is the error's name."""


def _use_proxy(request: Any, proxy: str) -> None:
    from base64 import b64encode
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(proxy if "://" in proxy else "http://" + proxy)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _RefusedError("PROXY")
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_header("Proxy-Authorization", "Basic " + b64encode(pair).decode())
    request.set_proxy(parts.netloc.rpartition("@")[2], parts.scheme)


def _body(answer: Any, until: float, cap: int) -> tuple[bytes, str | None]:
    """At most `cap` bytes, unpacked when the server packed them."""
    import zlib

    unpack = zlib.decompressobj(47) if answer.headers.get("Content-Encoding", "").lower() == "gzip" else None
    body = bytearray()
    while chunk := answer.read(65536):
        try:
            body += unpack.decompress(chunk, cap + 1 - len(body)) if unpack else chunk
        except zlib.error:
            return bytes(body), "PROTOCOL"
        if len(body) > cap:
            return bytes(body[:cap]), "TOOBIG"
        if time.monotonic() > until:
            return bytes(body), "TIMEOUT"
    return bytes(body), None


def _network_error(error: object) -> str:
    """The name of what urllib raised."""
    import socket
    import ssl

    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (socket.gaierror, "DNS"),
        (ssl.SSLError, "TLS"),
        (TimeoutError, "TIMEOUT"),
        (ConnectionRefusedError, "REFUSED"),
        (ConnectionError, "RESET"),
    )
    if isinstance(error, _RefusedError) or str(error).startswith("Tunnel connection failed"):
        return str(error) if isinstance(error, _RefusedError) else "PROXY"
    named = next((name for kind, name in kinds if isinstance(error, kind)), None)
    return named or (error_name(error) if isinstance(error, OSError) and error.errno else "PROTOCOL")
