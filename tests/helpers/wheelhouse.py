"""Wheels that hold next to nothing, and index servers on loopback that carry them in every form that mirrors have."""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from tests.helpers.web import Answer, Page

JSON = "application/vnd.pypi.simple.v1+json"


class Wheel(NamedTuple):
    """A wheel of pure Python; `origin` is a word in its only file, to tell which server it came from."""

    name: str
    version: str
    origin: str
    requires: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"

    def bytes(self, holding: dict[str, str] | None = None) -> bytes:
        module = self.name.replace("-", "_")
        info = f"{module}-{self.version}.dist-info"
        metadata = [f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}"]
        metadata += [f"Requires-Dist: {text}" for text in self.requires]
        files = {
            **(holding or {f"{module}/__init__.py": f"origin = {self.origin!r}\n"}),
            f"{info}/METADATA": "\n".join(metadata) + "\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{name},sha256={_digest(text)},{len(text)}\n" for name, text in files.items())
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for name, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
                archive.writestr(zipfile.ZipInfo(name), text)
        return made.getvalue()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def index(root: str, wheels: Iterable["Wheel | Packed"], *, as_json: bool = False) -> dict[str, Answer]:
    """Pages of a PEP 503 index (or PEP 691, `as_json`) below `root`, with its files."""
    pages: dict[str, Answer] = {}
    projects: dict[str, list[Wheel | Packed]] = {}
    for wheel in wheels:
        projects.setdefault(wheel.name, []).append(wheel)
        pages[f"{root}/files/{quote(wheel.file)}"] = Page(wheel.bytes(), kind="application/octet-stream")
    for name, listed in projects.items():
        pages[f"{root}/{name}/"] = _json(listed) if as_json else _html(listed, "../files/")
    return pages


def flat(root: str, wheels: Iterable["Wheel | Packed"]) -> dict[str, Answer]:
    """A page of files and nothing else."""
    listed = list(wheels)
    pages: dict[str, Answer] = {
        f"{root}/{quote(wheel.file)}": Page(wheel.bytes(), kind="application/octet-stream") for wheel in listed
    }
    pages[f"{root}/"] = _html(listed, "")
    return pages


def _html(wheels: Iterable["Wheel | Packed"], where: str) -> Page:
    links = "".join(f'<a href="{where}{quote(wheel.file)}">{wheel.file}</a><br>\n' for wheel in wheels)
    return Page(f"<!DOCTYPE html><html><body>\n{links}</body></html>".encode())


def _json(wheels: Iterable["Wheel | Packed"]) -> Page:
    files = [
        {
            "filename": wheel.file,
            "url": f"../files/{quote(wheel.file)}",
            "hashes": {"sha256": hashlib.sha256(wheel.bytes()).hexdigest()},
        }
        for wheel in wheels
    ]
    return Page(json.dumps({"meta": {"api-version": "1.0"}, "name": "x", "files": files}).encode(), kind=JSON)


class Packed(NamedTuple):
    """A wheel made of a folder of files; stands in for `Wheel` in an index."""

    name: str
    version: str
    folder: str
    requires: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}-py3-none-any.whl"

    def bytes(self) -> bytes:
        root = Path(self.folder)
        files = {str(path.relative_to(root)): path.read_text("utf-8") for path in sorted(root.rglob("*.py"))}
        return Wheel(self.name, self.version, "", self.requires).bytes(files)
