"""Small web servers on loopback that behave as a test tells them to: index pages, files, lies, drips, proxies."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Page(NamedTuple):
    """What is answered under one path. `length` is what Content-Length says, right or wrong; None: the truth."""

    body: bytes = b""
    status: int = 200
    kind: str = "text/html; charset=utf-8"
    headers: dict[str, str] = {}
    length: int | None = None
    ranges: bool = True


Answer = Page | Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Serves `site.pages`, with HEAD and single byte ranges; everything asked is kept in `site.asked`."""

    protocol_version = "HTTP/1.1"
    site: "Site"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.site.asked.append((self.command, self.path, dict(self.headers)))
        page = self.site.pages.get(path, Page(b"not here", 404))
        if not isinstance(page, Page):
            page(self)
            return
        body, status, extra = page.body, page.status, dict(page.headers)
        wanted = self.headers.get("Range", "")
        if page.ranges and status == 200 and wanted.startswith("bytes="):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            body = body[int(first) : int(last) + 1 if last else None]
            extra["Content-Range"] = f"bytes {first}-{int(first) + len(body) - 1}/{len(page.body)}"
            status = 206
        self.send_response(status)
        self.send_header("Content-Type", page.kind)
        self.send_header("Content-Length", str(len(body) if page.length is None else page.length))
        self.send_header("Connection", "close")
        for name, value in extra.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls
    do_CONNECT = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None: ...


class Site:
    """A server's pages by path; `url(path)` gives the address."""

    def __init__(self, pages: dict[str, Answer]) -> None:
        self.pages = pages
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        handler = type("Bound", (Handler,), {"site": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def serve(pages: dict[str, Answer] | None = None) -> Iterator[Site]:
    """A site while the block runs."""
    site = Site(pages or {})
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        site.server.server_close()


@contextmanager
def speaker(say: Callable[[socket.socket], None]) -> Iterator[int]:
    """A raw TCP server: `say` gets each accepted connection; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    say(connection)
                except OSError:
                    continue

    threading.Thread(target=run, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def closed_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def redirect(to: str) -> Page:
    return Page(status=302, headers={"Location": to})


def packed(body: bytes) -> Page:
    """A page sent with gzip."""
    return Page(gzip.compress(body), headers={"Content-Encoding": "gzip"})


def drip(body: bytes, pause: threading.Event) -> Callable[[Handler], None]:
    """An answer that begins and then waits until `pause` is set (or the client leaves)."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:1])
        handler.wfile.flush()
        pause.wait(30)
        handler.close_connection = True

    return answer
