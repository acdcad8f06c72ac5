"""download.pytorch.org as our catalogue knows it, on loopback behind a proxy: what uv chooses, without a network."""

import os
import socket
import socketserver
import ssl
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from envcheck.model.plan import Build

HOST = "download.pytorch.org"
_TAGS = {
    ("linux", "x86_64"): "manylinux_2_17_x86_64.manylinux2014_x86_64",
    ("linux", "aarch64"): "manylinux_2_17_aarch64.manylinux2014_aarch64",
    ("windows", "x86_64"): "win_amd64",
}


def pages(builds: Iterable[Build]) -> dict[str, bytes]:
    """One index page a variant, in the form of the real ones."""
    rows: dict[str, list[str]] = defaultdict(list)
    for build in builds:
        tag = _TAGS.get((build.os, build.machine))
        for python in build.pythons if tag else ():
            digits = python.replace(".", "")
            abi = f"cp{digits}m" if digits in ("36", "37") else f"cp{digits}"
            version = f"{build.torch}+{build.variant}"
            name = quote(f"torch-{version}-cp{digits.removesuffix('t')}-{abi}-{tag}.whl")
            rows[build.variant].append(f'<a href="/whl/{name}" data-core-metadata="true">{name}</a><br>')
    return {
        f"/whl/{variant}/torch/": "\n".join(["<!DOCTYPE html><html><body>", *lines, "</body></html>"]).encode()
        for variant, lines in rows.items()
    }


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """An authority's certificate, and a certificate with its key for the host: made by openssl for this run only."""
    authority, authority_key, cert, key = (folder / name for name in ("ca.pem", "ca.key", "cert.pem", "cert.key"))
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    _quietly(*new, "-subj", "/CN=benchmarks", "-keyout", str(authority_key), "-out", str(authority))
    signed = ("-CA", str(authority), "-CAkey", str(authority_key), "-addext", f"subjectAltName=DNS:{HOST}")
    leaf = ("-addext", "basicConstraints=critical,CA:FALSE", "-subj", f"/CN={HOST}")
    _quietly(*new, *signed, *leaf, "-keyout", str(key), "-out", str(cert))
    return authority, cert, key


def _quietly(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=60)


class _Proxy(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    pages: dict[str, bytes]
    tls: ssl.SSLContext


class _Visit(socketserver.StreamRequestHandler):
    server: _Proxy

    def handle(self) -> None:
        wanted = self.rfile.readline().split()
        while self.rfile.readline().strip():
            pass
        if len(wanted) < 2 or wanted[0] != b"CONNECT" or wanted[1].partition(b":")[0] != HOST.encode():
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            with self.server.tls.wrap_socket(self.connection, server_side=True) as inside:
                inside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._talk(inside)
        except OSError:
            return

    def _talk(self, inside: ssl.SSLSocket) -> None:
        stream = inside.makefile("rb")
        while request := stream.readline().split():
            while stream.readline().strip():
                pass
            path = request[1].decode().partition("?")[0]
            body = self.server.pages.get(path)
            kind = "text/html"
            if body is None and path.endswith(".metadata"):
                name, version = unquote(path.rpartition("/")[2]).split("-")[:2]
                body, kind = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(), "text/plain"
            status = b"404 Not Found" if body is None else b"200 OK"
            head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
            inside.sendall(head % (status, kind.encode(), len(body or b"")) + (body or b""))


@contextmanager
def torch_site(builds: Iterable[Build], folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which a program that honours proxies sees our index instead of the real one."""
    authority, cert, key = certificates(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    with _Proxy(("127.0.0.1", 0), _Visit) as proxy:
        proxy.pages, proxy.tls = pages(builds), tls
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{proxy.server_address[1]}"
        home = folder / "home"
        home.mkdir()
        yield {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(home),
            "HTTPS_PROXY": address,
            "HTTP_PROXY": address,
            "ALL_PROXY": address,
            "SSL_CERT_FILE": str(authority),
        }
        proxy.shutdown()
