"""Mirrors: one TOML file each, with a record per kind of thing that it serves, read when they are asked for.

The shipped files stand in `mirrors/`; a person may have more in a folder of their own (ENVCHECK_MIRRORS), where a
file of the same name takes the place of the shipped one.
"""

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Literal

import msgspec

from envcheck.catalogue.files import mirrors_folder, read_table
from envcheck.model.base import Value
from envcheck.model.errors import EnvcheckError
from envcheck.model.patterns import regex
from envcheck.model.text import Text, say
from envcheck.model.urls import host_of, is_loopback

Kind = Literal[
    "pypi",
    "torch_wheels",
    "nvidia_wheels",
    "conda_forge",
    "pkgs_main",
    "pytorch_channel",
    "nvidia_channel",
    "pkgs_r",
    "pkgs_msys2",
    "pkgs_free",
    "pkgs_pro",
]
NEVER_ADDED: tuple[Kind, ...] = ("pkgs_free", "pkgs_pro")
"""Channels that are recorded and flagged where a configuration has them, and never put into one."""

OFFICIAL = "official"
_USABLE = ("live", "listed", "frozen", "redirects", "unverified")
_LARGEST = 65536
_DATE = regex(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]")


class Record(Value, frozen=True, kw_only=True):
    """What is known of one thing at one mirror, who says so, and when."""

    url: str | None = None
    """Its address, `{variant}` standing for `cu126` and the like; None: not there, or the tool's own default."""
    index: Literal["pep503", "flat", "conda", "none"]
    """`pep503`: a package index; `flat`: a page of files, for find-links only; `conda`: a channel."""
    status: Literal[
        "live", "listed", "frozen", "redirects", "unverified", "broken", "dropped", "fake", "dead", "none", "unknown"
    ]
    """`listed`: somebody lists it; `frozen`: upstream has ended; `unverified`: only seen in configurations;
    `fake`: answers, but not with packages; `none`: never carried."""
    confidence: Literal["A", "B", "C", "G"]
    """A: the operator says so; B: somebody measured; C: seen in use; G: a guess."""
    date: str
    source: str
    limits: tuple[str, ...] = ()
    """What to know before using it: message ids."""
    platforms: tuple[str, ...] = ()
    """conda's platform folders, where not all are there."""
    variants: tuple[str, ...] = ()
    """Variants that were seen, where not all are there."""

    @property
    def usable(self) -> bool:
        """Whether it is worth a try."""
        return self.status in _USABLE

    def at(self, variant: str) -> str | None:
        """The address for one variant, `cu126` or `cpu`."""
        return None if self.url is None else self.url.replace("{variant}", variant)


class _File(Value, frozen=True, kw_only=True):
    name: str
    title: str
    aliases: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    redirects: tuple[str, ...] = ()
    pair: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pypi: Record | None = None
    torch_wheels: Record | None = None
    nvidia_wheels: Record | None = None
    conda_forge: Record | None = None
    pkgs_main: Record | None = None
    pytorch_channel: Record | None = None
    nvidia_channel: Record | None = None
    pkgs_r: Record | None = None
    pkgs_msys2: Record | None = None
    pkgs_free: Record | None = None
    pkgs_pro: Record | None = None


class Mirror(Value, frozen=True, kw_only=True):
    """One mirror. The properties give a record that is worth a try, or None; `records` has all that is known."""

    name: str
    title: str
    records: dict[str, Record]
    aliases: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    redirects: tuple[str, ...] = ()
    """Hosts that it sends some requests to."""
    pair: tuple[str, ...] = ()
    """Mirrors that have the PyTorch wheels which this one lacks, best first."""
    notes: tuple[str, ...] = ()
    ours: bool = True
    """Whether it was shipped; False: from the person's own folder."""

    def usable(self, kind: Kind) -> Record | None:
        """The record of that kind if it is worth a try."""
        record = self.records.get(kind)
        return record if record is not None and record.usable else None

    @property
    def pypi(self) -> Record | None:
        """The mirror of the default index; at `official` its `url` is None: no flag is needed."""
        return self.usable("pypi")

    @property
    def torch_wheels(self) -> Record | None:
        """PyTorch's own wheels, with CUDA; `at("cu126")` gives the address, `index` which flag it needs."""
        return self.usable("torch_wheels")

    @property
    def conda_forge(self) -> Record | None:
        """The channel conda-forge."""
        return self.usable("conda_forge")

    @property
    def pkgs_main(self) -> Record | None:
        """The first channel of `defaults`."""
        return self.usable("pkgs_main")

    @property
    def pytorch_channel(self) -> Record | None:
        """The channel pytorch, which ended with 2.5.1."""
        return self.usable("pytorch_channel")

    @property
    def nvidia_channel(self) -> Record | None:
        """The channel nvidia, which pytorch's builds of 1.13 to 2.5.1 need."""
        return self.usable("nvidia_channel")

    @property
    def no_proxy(self) -> tuple[str, ...]:
        """Hosts for NO_PROXY, those it redirects to with them."""
        return (*self.hosts, *self.redirects)

    def texts(self, kind: Kind) -> tuple[Text, ...]:
        """The limits of one kind, to be shown beside a command that uses it."""
        record = self.records.get(kind)
        return tuple(Text(msgid=limit) for limit in record.limits) if record else ()


def mirrors(own: str | None = None) -> dict[str, Mirror]:
    """All mirrors by name, `official` first; `own` is a folder of the person's (ENVCHECK_MIRRORS).

    Raises:
        EnvcheckError: a file of that folder does not hold a mirror.
    """
    found = dict(_shipped())
    for path in _files_of(own):
        found[_stem(path)] = _read(path, ours=False)
    return found


def mirror(name: str, own: str | None = None) -> Mirror:
    """The mirror of that name or alias.

    Raises:
        EnvcheckError: there is none (with the nearest name), or its file does not hold a mirror.
    """
    known = mirrors(own)
    wanted = name.strip().casefold()
    for one in known.values():
        if wanted in (one.name, *one.aliases):
            return one
    from difflib import get_close_matches

    words = {alias: one.name for one in known.values() for alias in (one.name, *one.aliases)}
    close = get_close_matches(wanted, words, n=1, cutoff=0.5)
    mend = (
        say("did you mean {name}?", name=words[close[0]])
        if close
        else say("known are: {names}", names=", ".join(known))
    )
    raise EnvcheckError(say("there is no mirror {name}", name=name), mend=mend)


@cache
def official() -> Mirror:
    """The projects' own addresses."""
    return _read(os.path.join(mirrors_folder(), f"{OFFICIAL}.toml"), ours=True)


def mirror_of(url: str, known: Mapping[str, Mirror]) -> Mirror | None:
    """The mirror whose host `url` names, if any."""
    host = host_of(url)
    return next((one for one in known.values() if host in one.hosts), None)


@cache
def _shipped() -> dict[str, Mirror]:
    read = [_read(path, ours=True) for path in _files_in(mirrors_folder())]
    return {one.name: one for one in sorted(read, key=lambda one: one.name != OFFICIAL)}


def _files_of(own: str | None) -> tuple[str, ...]:
    if not own:
        return ()
    if not os.path.isdir(own):
        mend = say("set ENVCHECK_MIRRORS to a folder of *.toml files, or unset it")
        raise EnvcheckError(say("no such folder of mirrors"), where=own, mend=mend)
    return _files_in(own)


def _files_in(folder: str) -> tuple[str, ...]:
    return tuple(os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".toml"))


def _stem(path: str) -> str:
    return os.path.basename(path).removesuffix(".toml")


def _read(path: str, *, ours: bool) -> Mirror:
    try:
        file = read_table(path, _File) if ours else msgspec.toml.decode(_bounded(path), type=_File)
        return _mirror(file, _stem(path), ours)
    except OSError as error:
        raise _refusal(path, error.strerror or type(error).__name__) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _refusal(path, str(error) or "nested too deeply") from error


def _bounded(path: str) -> bytes:
    with open(path, "rb") as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"longer than {_LARGEST} bytes")
    return data


def _refusal(path: str, reason: str) -> EnvcheckError:
    """The line is in the text of a TOML reader, the field in that of msgspec."""
    line = re.search(r"\(at line ([0-9]+)", reason)
    where = f"{path}:{line[1]}" if line else path
    mend = say("mend the file, or move it out of the folder; a shipped mirror shows the form")
    return EnvcheckError(say("not a mirror file: {reason}", reason=reason), where=where, mend=mend)


def _mirror(file: _File, stem: str, ours: bool) -> Mirror:
    kinds = [name for name in _File.__struct_fields__ if name not in Mirror.__struct_fields__]
    records = {kind: record for kind in kinds if (record := getattr(file, kind)) is not None}
    if file.name != stem:
        raise ValueError(f"name: {file.name!r}, but the file is called {stem!r}")
    for kind, record in records.items():
        for reason in _faults(kind, record):
            raise ValueError(f"{kind}: {reason}")
    common = {name: getattr(file, name) for name in _File.__struct_fields__ if name not in kinds}
    return Mirror(records=records, ours=ours, **common)


def _faults(kind: str, record: Record) -> Iterator[str]:
    if not _DATE.fullmatch(record.date):
        yield f"date: {record.date!r} is not YYYY-MM-DD"
    if not record.source.strip():
        yield "source: empty"
    if (record.index == "none") != (record.status == "none"):
        yield "index and status: `none` goes with `none`"
    if record.url is None:
        return
    host = host_of(record.url)
    if host is None or not (record.url.startswith("https://") or is_loopback(host)):
        yield f"url: {record.url!r} is not an https address"
    if kind == "torch_wheels" and "{variant}" not in record.url:
        yield "url: has no {variant}"
