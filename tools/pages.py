"""What the refresh tools share: a page from a file or an address, its table rows as plain cells."""

import re
import urllib.request
from pathlib import Path

LARGEST = 32 << 20
_ROW = re.compile(r"<tr\b[^>]{0,500}>(.{0,20000}?)</tr>", re.DOTALL | re.IGNORECASE)
_CELL = re.compile(r"<t[dh]\b[^>]{0,500}>(.{0,10000}?)</t[dh]>", re.DOTALL | re.IGNORECASE)
_BREAK = re.compile(r"<(?:br|p|li|div)\b[^>]{0,200}>", re.IGNORECASE)
_TAG = re.compile(r"<[^>]{0,500}>")


def read(source: str, accept: str = "text/html") -> tuple[bytes, str, str]:
    """Body, content type and address of a page; a file's type is told by its beginning."""
    if not source.startswith(("http://", "https://")):
        body = Path(source).read_bytes()[:LARGEST]
        return body, "application/json" if body.lstrip()[:1] == b"{" else "text/html", "https://saved.invalid/"
    request = urllib.request.Request(source, headers={"Accept": accept, "User-Agent": "envcheck-refresh"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read(LARGEST), answer.headers.get("Content-Type", ""), answer.url


def table_rows(text: str) -> list[list[list[str]]]:
    """Every table row of an HTML page: its cells, each as its lines without markup."""
    rows = []
    for row in _ROW.finditer(text):
        cells = [_lines(cell[1]) for cell in _CELL.finditer(row[1])]
        if cells:
            rows.append(cells)
    return rows


def _lines(cell: str) -> list[str]:
    text = _TAG.sub(" ", _BREAK.sub("\n", cell)).replace("&gt;", ">").replace("&nbsp;", " ").replace("&amp;", "&")
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]
