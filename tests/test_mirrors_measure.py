"""Mirrors measured: real servers on loopback that serve, lie, redirect, drip, refuse."""

import socket
import threading

import pytest
from helpers.web import Handler, Page, Site, closed_port, drip, packed, redirect, serve, speaker

from envcheck.probes.measure import SAMPLE, Asker, Offer, rank
from envcheck.probes.system import Fetched, System

WHEEL = b"PK\x03\x04" + bytes(2 * SAMPLE)
NAME = "torch-2.13.0%2Bcu126-cp311-cp311-linux_x86_64.whl"
FILE = f"/whl/cu126/{NAME}"
INDEX = "/whl/cu126/torch/"
JSON = "application/vnd.pypi.simple.v1+json"


def asker(environ: dict[str, str] | None = None) -> Asker:
    return Asker(System("/", environ or {}, "linux"))


def ranked(urls: list[str], limit: float = 6.0, environ: dict[str, str] | None = None) -> tuple[Offer, ...]:
    return rank(System("/", environ or {}, "linux"), urls, limit)


def test_only_a_true_file_counts() -> None:
    pages = {
        "/good" + FILE: Page(WHEEL),
        "/no-ranges" + FILE: Page(WHEEL, ranges=False),
        "/sorry" + FILE: Page(b"<html>not found</html>"),
        "/empty" + FILE: Page(b""),
        "/gone" + FILE: Page(b"x", 404),
        "/blocked" + FILE: Page(b"x", 403),
        "/busy" + FILE: Page(b"x", 429),
        "/broken" + FILE: Page(b"x", 502),
    }
    with serve(pages) as site:
        found = {one.url.split("/")[3]: one for one in ranked([site.url(path) for path in pages])}
        assert {name for name, one in found.items() if one.ok} == {"good", "no-ranges"}
        assert {name: one.why for name, one in found.items() if not one.ok} == {
            "sorry": "NOT A FILE", "empty": "NOT A FILE", "gone": "HTTP 404", "blocked": "HTTP 403", "busy": "HTTP 429",
            "broken": "HTTP 502",
        }  # fmt: skip
        assert (found["good"].host, found["good"].size) == ("127.0.0.1", len(WHEEL))
        assert (found["good"].bytes_per_s or 0) > 0
        served = [
            headers.get("Range") for method, path, headers in site.asked if method == "GET" and path.startswith("/good")
        ]
        assert served == [f"bytes=0-{SAMPLE - 1}"]


class Timed(System):
    """Answers as quickly as an address says, without a network."""

    def fetch(self, url: str, *, method: str = "GET", **_: object) -> Fetched:  # type: ignore[override]  # as rank calls it
        ms = float(url.split("/")[3])
        return Fetched(url, 200 if ms else 404, {}, WHEEL[:SAMPLE], None if ms else "HTTP", None, ms)


def test_those_that_serve_stand_first_the_fastest_foremost() -> None:
    urls = [f"https://m.example/{ms}/x.whl" for ms in (0, 900, 200, 500)]
    found = rank(Timed("/", {}, "linux"), urls)
    assert [one.url.split("/")[3] for one in found] == ["200", "500", "900", "0"]
    assert found[0].bytes_per_s == SAMPLE / 0.2


def test_server_that_knows_no_head() -> None:
    def get_only(handler: Handler) -> None:
        handler.site.pages["/once"] = Page(WHEEL)
        body = WHEEL if handler.command == "GET" else b""
        handler.send_response(200 if body else 405)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    with serve({FILE: get_only}) as site:
        assert [one.ok for one in ranked([site.url(FILE)])] == [True]


def test_redirect_tells_who_served() -> None:
    with serve({"/up" + FILE: Page(WHEEL)}) as upstream, serve() as site:
        site.pages[FILE] = redirect(upstream.url("/up" + FILE).replace("127.0.0.1", "localhost"))
        (one,) = ranked([site.url(FILE)])
        assert (one.ok, one.host) == (True, "localhost")
        site.pages[FILE] = redirect(site.url(FILE))
        assert ranked([site.url(FILE)])[0].why == "REDIRECTS"


def test_time_is_bounded() -> None:
    pause = threading.Event()
    with serve({FILE: drip(WHEEL, pause)}) as site, speaker(lambda one: one.recv(1) and pause.wait(30)) as silent:
        found = ranked([site.url(FILE), f"http://127.0.0.1:{silent}{FILE}"], limit=1.2)
        pause.set()
    assert [one.why for one in found] == ["TIMEOUT", "TIMEOUT"]


def _nonsense(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"\x16\x03\x01\x00\x00 not http at all\r\n\r\n")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{closed}/x.whl",
        "https://127.0.0.1:{nonsense}/x.whl",
        "ftp://h/x.whl",
        "http://127.0.0.1:{nonsense}/x.whl",
        "http://[::1",
    ],
)
def test_what_does_not_answer_has_a_name(url: str) -> None:
    with speaker(_nonsense) as port:
        (one,) = ranked([url.replace("{closed}", str(closed_port())).replace("{nonsense}", str(port))], limit=3.0)
    assert not one.ok
    assert one.why in ("REFUSED", "TLS", "SCHEME", "PROTOCOL")


def test_proxy_is_used_and_named_without_its_password() -> None:
    with serve({"http://mirror.example" + FILE: Page(WHEEL)}) as proxy:
        environ = {"http_proxy": proxy.url("").replace("//", "//bob:pw@"), "no_proxy": "direct.example"}
        (one,) = ranked(["http://mirror.example" + FILE], environ=environ)
        assert (one.ok, one.proxy) == (True, proxy.url(""))
        assert "Proxy-Authorization" in proxy.asked[0][2]


def index(site: Site, *hrefs: str) -> None:
    site.pages[INDEX] = Page("".join(f'<a href="{href}">x</a><br/>\n' for href in hrefs).encode())


def test_page_whose_files_stay() -> None:
    with serve() as site:
        index(site, f"../{NAME}#sha256=0", "torch-2.12.0-cp311-cp311-win_amd64.whl", "../numpy/")
        found = asker().examine(site.url(INDEX))
        assert (found.ok, found.kind, found.files, found.elsewhere) == (True, "html", 2, ())
        assert found.sample == site.url("/whl/cu126/torch/torch-2.12.0-cp311-cp311-win_amd64.whl")


def test_page_whose_files_lie_elsewhere() -> None:
    with serve() as site:
        index(site, f"https://download-r2.pytorch.org/whl/{NAME}", f"https://download-r2.pytorch.org/{NAME}", NAME)
        assert asker().examine(site.url(INDEX)).elsewhere == (("download-r2.pytorch.org", 2),)


def test_json_is_asked_for_and_withdrawn_files_are_passed_over() -> None:
    body = b'{"files": [{"url": "a-1.whl"}, {"url": "a-2.whl", "yanked": "bad"}]}'
    with serve({INDEX: Page(body, kind=JSON)}) as site:
        found = asker().examine(site.url(INDEX))
        assert (found.kind, found.files, found.sample) == ("json", 2, site.url(INDEX + "a-1.whl"))
        assert site.asked[0][2]["Accept"].startswith(JSON)


def test_list_of_projects_leads_to_the_project() -> None:
    with serve({"/whl/cu126/": Page(b'<a href="numpy/">numpy</a><a href="torch/">torch</a>')}) as site:
        index(site, NAME)
        assert asker().examine(site.url("/whl/cu126/")).url == site.url(INDEX)
        del site.pages[INDEX]
        assert asker().examine(site.url("/whl/cu126/")).why == "HTTP 404"


BOMB = packed(bytes(64 << 20))
ODD = {
    "nothing": (Page(b"<html>welcome</html>"), "NO FILES"),
    "binary": (Page(bytes(range(256)) * 100), "NO FILES"),
    "bad charset": (Page(f'<a href="{NAME}">\xff'.encode("latin-1"), kind="text/html; charset=no-such"), None),
    "bomb": (BOMB, "TOOBIG"),
    "not gzip": (Page(b"plain", headers={"Content-Encoding": "gzip"}), "PROTOCOL"),
    "broken json": (Page(b'{"files": [', kind=JSON), "NO FILES"),
    "403": (Page(b"x", 403), "HTTP 403"),
    "407": (Page(b"x", 407), "HTTP 407"),
    "500": (Page(b"x", 500), "HTTP 500"),
    "to ftp": (redirect("ftp://h/x"), "DOWNGRADE"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_pages(kind: str) -> None:
    page, why = ODD[kind]
    with serve({INDEX: page}) as site:
        found = asker().examine(site.url(INDEX), limit=20)
        assert (found.ok, found.why) == (why is None, why)


def test_all_at_once_keep_their_order() -> None:
    with serve() as site:
        index(site, NAME)
        urls = [site.url("/gone"), site.url(INDEX)]
        assert [(one.url, one.ok) for one in asker().examine_all(urls)] == [(urls[0], False), (urls[1], True)]
