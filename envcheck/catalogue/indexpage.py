"""Pages of package indexes: PEP 691 JSON, HTML of PEP 503, plain lists of files. Pure, bounded, never an exception.

HTML is not parsed as HTML: the standard parser needs minutes for some 60 kB (measured), and links are all that counts
here. Each `<a` is looked at on its own, up to the next `>`.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import unquote, urljoin

from envcheck.model.base import Plain
from envcheck.model.patterns import regex

MOST_LINKS = 100_000
_LONGEST_TAG = 4096
_ANCHOR = regex(r"<[aA][\s/]")
_HREF = regex(r"""\shref\s{0,9}=\s{0,9}(?:"([^"]{0,2000})"|'([^']{0,2000})'|([^\s"'>]{1,2000}))""", re.IGNORECASE)
_ENTITY = regex(r"&(?:amp|lt|gt|quot|#39|#43|#x2[bB]);")
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&#43;": "+", "&#x2b;": "+"}
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_FILE_ENDS = (".whl", ".tar.gz", ".zip", ".conda", ".tar.bz2")


class Link(Plain, frozen=True):
    """A link of a page: its absolute address, and the file name in it (percent signs decoded)."""

    url: str
    name: str
    yanked: bool = False

    @property
    def is_file(self) -> bool:
        """Whether it is a package, not a folder or a project."""
        return self.name.endswith(_FILE_ENDS)


class IndexPage(Plain, frozen=True):
    """`kind` is `json`, `html` or `unreadable`; the links stand in the page's order."""

    kind: str
    links: tuple[Link, ...]


def parse(body: bytes, content_type: str, url: str) -> IndexPage:
    """The links of a page that `url` answered."""
    if "json" in content_type.lower():
        return _json(body, url)
    return IndexPage("html", tuple(islice(_links(body.decode("utf-8", "replace"), url), MOST_LINKS)))


def _json(body: bytes, url: str) -> IndexPage:
    import json

    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return IndexPage("unreadable", ())
    files, projects = (_dicts(document, key) for key in ("files", "projects"))
    if files is None and projects is None:
        return IndexPage("unreadable", ())
    links = [_link(one["url"], url, bool(one.get("yanked"))) for one in files or () if isinstance(one.get("url"), str)]
    links += [_link(f"{one['name']}/", url) for one in projects or () if isinstance(one.get("name"), str)]
    return IndexPage("json", tuple(link for link in links if link is not None)[:MOST_LINKS])


def _dicts(document: object, key: str) -> list[dict[str, Any]] | None:
    listed = document.get(key) if isinstance(document, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else None


def _links(text: str, url: str) -> Iterator[Link]:
    for anchor in _ANCHOR.finditer(text):
        end = text.find(">", anchor.end(), anchor.end() + _LONGEST_TAG)
        match = _HREF.search(text, anchor.end() - 1, end) if end >= 0 else None
        if match is not None:
            href = next(group for group in match.groups() if group is not None)
            yanked = "data-yanked" in text[anchor.end() : end].lower()
            link = _link(_ENTITY.sub(_unescaped, href), url, yanked)
            if link is not None:
                yield link


def _unescaped(match: re.Match[str]) -> str:
    return _ENTITIES[match[0].lower()]


def _link(href: str, url: str, yanked: bool = False) -> Link | None:
    try:
        absolute = urljoin(url, href.strip())
    except ValueError:
        return None
    address = re.split(r"[?#]", absolute, maxsplit=1)[0]
    if not address.lower().startswith(("http://", "https://")):
        return None
    return Link(address, unquote(address.rstrip("/").rpartition("/")[2]), yanked)
