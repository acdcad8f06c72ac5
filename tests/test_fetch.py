"""What a lying, slow or hostile server can do to a fetch: nothing."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.web import Page, closed_port, drip, packed, redirect, serve, speaker

from envcheck.probes.system import System

SYSTEM = System(environ={})
CERTIFICATE = Path(__file__).parent / "helpers" / "loopback.pem"


@contextmanager
def tls_server(answer: bytes) -> Iterator[int]:
    """An https server with a certificate that nobody trusts by default."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def say(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secure:
            secure.do_handshake()
            secure.recv(65536)
            secure.sendall(answer)

    with speaker(say) as port:
        yield port


def test_a_page_and_its_headers() -> None:
    with serve({"/a": Page(b"hello", headers={"X-One": "1"}), "/z": packed(b"z" * 9999)}) as site:
        got = SYSTEM.fetch(site.url("/a?token=secret"), limit=9, headers={"Accept": "text/html"})
        assert (got.status, got.body, got.error, got.headers["x-one"]) == (200, b"hello", None, "1")
        assert site.asked[0][2]["Accept"] == "text/html"
        assert SYSTEM.fetch(site.url("/z"), limit=9).body == b"z" * 9999
        head = SYSTEM.fetch(site.url("/a"), limit=9, method="HEAD")
        assert (head.status, head.body) == (200, b"")


def test_an_error_page_is_an_answer() -> None:
    with serve({"/f": Page(b"no", 403)}) as site:
        got = SYSTEM.fetch(site.url("/f"), limit=9)
    assert (got.status, got.body, got.error) == (403, b"no", "HTTP")


def test_redirects_are_followed_five_times() -> None:
    pages = {f"/{number}": redirect(f"/{number + 1}") for number in range(9)} | {"/5": Page(b"there")}
    with serve(dict(pages)) as site:
        got = SYSTEM.fetch(site.url("/0"), limit=9)
        assert (got.body, got.url) == (b"there", site.url("/5"))
    with serve({"/0": redirect("/1"), "/1": redirect("/0"), "/f": redirect("file:///etc/passwd")}) as site:
        assert SYSTEM.fetch(site.url("/0"), limit=9).error == "REDIRECTS"
        assert SYSTEM.fetch(site.url("/f"), limit=9).error == "REDIRECTS"


def test_no_way_from_https_to_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve({"/": Page(b"plain")}) as site:
        moved = f"HTTP/1.1 302 Found\r\nLocation: {site.url()}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        with tls_server(moved.encode()) as port:
            assert SYSTEM.fetch(f"https://127.0.0.1:{port}/", limit=9).error == "TLS"
            monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
            assert SYSTEM.fetch(f"https://127.0.0.1:{port}/", limit=9).error == "DOWNGRADE"
        assert site.asked == []


@pytest.mark.parametrize("page", [Page(b"x" * 5000), packed(b"x" * 5_000_000)], ids=["plain", "packed"])
def test_a_body_over_the_cap_is_cut(page: Page) -> None:
    with serve({"/": page}) as site:
        got = SYSTEM.fetch(site.url(), limit=9, cap=1000)
    assert (got.error, len(got.body)) == ("TOOBIG", 1000)


def test_a_server_that_drips_is_left_at_the_limit() -> None:
    pause = threading.Event()
    begun = time.monotonic()
    with serve({"/": drip(b"x" * 100, pause)}) as site:
        got = SYSTEM.fetch(site.url(), limit=0.3)
        pause.set()
    assert got.error == "TIMEOUT"
    assert time.monotonic() - begun < 1.5


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", "RESET"),
        (b"no http at all\r\n\r\n", "PROTOCOL"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde", "PROTOCOL"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "PROTOCOL"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n", "PROTOCOL"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000, "PROTOCOL"),
    ],
)
def test_a_server_that_does_not_speak_http(said: bytes, error: str) -> None:
    def say(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(said)

    with speaker(say) as port:
        got = SYSTEM.fetch(f"http://127.0.0.1:{port}/", limit=9)
    assert got.error == error


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("file:///etc/passwd", "SCHEME"),
        ("ftp://127.0.0.1/", "SCHEME"),
        ("", "SCHEME"),
        ("http://", "PROTOCOL"),
        ("http://127.0.0.1:99999/", "PROTOCOL"),
        ("http://127.0.0.1:x/", "PROTOCOL"),
        ("http://a b/", "PROTOCOL"),
        ("http://[::1/", "PROTOCOL"),
    ],
)
def test_addresses_that_are_none(url: str, error: str) -> None:
    got = SYSTEM.fetch(url, limit=9)
    assert (got.error, got.status) == (error, None)


def test_refused_and_unknown() -> None:
    port = closed_port()
    assert SYSTEM.fetch(f"http://bob:secret@127.0.0.1:{port}/", limit=9).error == "REFUSED"
    assert "secret" not in str(SYSTEM.fetch(f"http://bob:secret@127.0.0.1:{port}/", limit=9))
    assert SYSTEM.fetch("http://no-such-host.invalid/", limit=9).error == "DNS"
    assert SYSTEM.connect("127.0.0.1", port, 5) == "ECONNREFUSED"
    assert SYSTEM.connect("127.0.0.1", 999999, 5) is not None
    assert SYSTEM.connect("no-such-host.invalid", 80, 5) == "DNS"
    assert SYSTEM.resolve("no-such-host.invalid", 5) is None
    assert "127.0.0.1" in (SYSTEM.resolve("127.0.0.1", 5) or ())


def test_a_proxy_is_used_only_when_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve({"/": Page(b"from the site")}) as site, serve({site.url(): Page(b"from the proxy")}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url())
        assert SYSTEM.fetch(site.url(), limit=9).body == b"from the site"
        through = proxy.url().replace("://", "://bob:p%40ss@")
        got = SYSTEM.fetch(site.url(), limit=9, proxy=through)
        assert got.body == b"from the proxy"
        assert proxy.asked[0][2]["Proxy-Authorization"] == "Basic Ym9iOnBAc3M="
        assert SYSTEM.connect("127.0.0.1", proxy.port, 5) is None
    refused = SYSTEM.fetch(site.url(), limit=9, proxy="socks5://127.0.0.1:1080")
    assert refused.error == "PROXY"


def test_a_proxy_that_wants_a_password() -> None:
    with serve({}) as proxy:
        proxy.pages["127.0.0.1:1"] = Page(b"", 407)
        got = SYSTEM.fetch("https://127.0.0.1:1/", limit=9, proxy=proxy.url())
    assert (got.error, got.status) == ("PROXY", None)
    assert "407" in (got.detail or "")
