"""What an index is to blame for when an installer finds no torch; the machine's share is answered in `unmet`. Pure."""

from collections.abc import Iterator
from typing import Literal

from envcheck.diagnosis.builds import Builds
from envcheck.diagnosis.unmet import Unmet, reasons, unmet
from envcheck.model.base import Plain
from envcheck.model.facts import Message
from envcheck.model.patterns import regex
from envcheck.model.report import Confidence
from envcheck.model.versions import minor, numbers

Fault = Literal["index_tag_missing", "index_not_used", "release_missing"]

NETWORK = (
    "proxy_error",
    "proxy_closed_tls",
    "socks_unsupported",
    "socks_scheme",
    "ssl_error",
    "ssl_module_missing",
    "network_unreachable",
    "network_timeout",
    "connection_reset",
    "mirror_403",
    "mirror_connection_failed",
)
"""When one of these was said, an empty list is its consequence."""
_SOURCES_ONLY = "0.1.2"
"""The default index lists source distributions of that version to every interpreter."""
_ACCELERATOR = regex(r"cu\d|rocm|xpu")


_FILE = regex(
    r"/(?P<name>torch|libtorch(?:-\w{2,12}){0,5})-(?P<version>\d{1,2}\.\d{1,3}\.\d{1,2})(?:\+|%2B)(?P<variant>cu\d{2,3}|rocm[\d.]{1,6}|cpu)"
    r"(?=[-.])\S{0,80}\.(?:whl|zip)"
)
_LOOKED = regex(r"Looking in indexes: (?P<urls>[^\n]{8,400})")
_PYTORCH = regex(r"pytorch|/whl\b|Looking in links")
_OWN_PAGE = regex(r"Looking in (?:links|indexes):[^\n]{0,300}/whl/")
_FOLDER = regex(r"/whl/(?:nightly/|test/)?(?P<variant>cu[\d.]{2,6}|rocm[\d.]{1,6})(?=/|$)")


class Verdict(Plain, frozen=True):
    """Whose fault it is, how sure, and the request that failed."""

    fault: Fault
    confidence: Confidence
    unmet: Unmet


def network_failed(case: Builds) -> bool:
    """Whether the text says that an index could not be reached."""
    return any(case.said(slug) for slug in NETWORK)


def faults(case: Builds) -> Iterator[Verdict]:
    """The index's fault in each failed request that neither the network nor the machine explains."""
    if network_failed(case) or any(reason.confidence != "possible" for reason in reasons(case)):
        return
    for one in unmet(case):
        found = _fault(one, case)
        if found is not None:
            yield Verdict(*found, one)
    yield from _of_uv(case)


def _of_uv(case: Builds) -> Iterator[Verdict]:
    """What uv says in its own words: there is no version with that tag on the indexes that it asked."""
    for message, _ in case.said("pdm_no_candidate"):
        for _, groups in case.said("tag_in_project")[:1]:
            one = Unmet(message, groups["version"], groups["local"], (), frozenset(), elsewhere=False)
            builds = case.catalogue.builds()
            rows = [build for build in builds if numbers(build.torch) == numbers(groups["version"])]
            made = any(build.variant == groups["local"] for build in rows)
            yield Verdict("index_not_used" if made else "index_tag_missing", "likely", one)
    for message, groups in case.said("uv_no_version"):
        asked, _, local = groups.get("spec", "").lstrip("=<>!~ ").partition("+")
        if not local or groups["name"] != "torch":
            continue
        one = Unmet(message, asked, local, offered=(), variants=frozenset(), elsewhere=False)
        builds = case.catalogue.builds()
        made = any(build.variant == local and numbers(build.torch) == numbers(asked) for build in builds)
        yield Verdict("index_not_used" if made else "index_tag_missing", "likely", one)


def another_python(case: Builds) -> Message | None:
    """The message of a pip that found nothing, although the Python shown has a wheel: pip serves another one."""
    version = case.facts.python.version
    if version is None or network_failed(case) or reasons(case):
        return None
    short = minor(version)
    for one in unmet(case):
        variants = {one.local} if one.local else one.variants
        fits = (
            short in build.pythons and numbers(build.torch) == numbers(one.asked or "") and build.variant in variants
            for build in case.builds_here
        )
        if not one.offered and one.asked and any(fits):
            return one.message
    return None


def known_variants(case: Builds) -> frozenset[str]:
    """Every variant that an official index has or had."""
    return frozenset(build.variant for build in case.catalogue.builds())


def unknown_folder(case: Builds) -> tuple[str, Message] | None:
    """A folder of PyTorch's index that was refused and that no release ever had."""
    known = known_variants(case)
    for slug in ("mirror_403", "mirror_404"):
        for message, groups in case.said(slug):
            match = _FOLDER.search(groups.get("url", ""))
            if match is not None and known and match["variant"] not in known:
                return match["variant"], message
    return None


def never_built(case: Builds) -> tuple[str, str, Message] | None:
    """A wheel or a libtorch that a server refused and that was never built: its release, its variant, the message."""
    builds = case.catalogue.builds()
    for slug in ("mirror_403", "mirror_404", "file_refused"):
        for message, groups in case.said(slug):
            match = _FILE.search(groups.get("url", ""))
            asked = numbers(match["version"]) if match else ()
            rows = [build for build in builds if numbers(build.torch) == asked]
            if match is not None and rows and not any(build.variant == match["variant"] for build in rows):
                return match["version"], match["variant"], message
    return None


def _fault(one: Unmet, case: Builds) -> tuple[Fault, Confidence] | None:
    known = known_variants(case)
    unknown = [variant for variant in (*sorted(one.variants), one.local or "") if variant and variant not in known]
    if not one.offered:
        sure: Confidence = "certain" if one.variants - known else "likely"
        return ("index_tag_missing", sure) if unknown else _never_built(one, case) or _not_there(one, case)
    if one.asked is None or all(version.startswith(_SOURCES_ONLY) for version in one.offered):
        return None
    tags = {version.partition("+")[2] for version in one.offered} - {""}
    if any(numbers(version) == numbers(one.asked) for version in one.offered):
        return _tag_at_fault(one, tags, case)
    variants = {one.local} if one.local else {tag for tag in tags if _ACCELERATOR.match(tag)}
    rows = [build for build in case.catalogue.builds() if numbers(build.torch) == numbers(one.asked)]
    if any(build.variant in variants or not variants for build in rows):
        return None  # it is on the index, and something of the machine hides it
    vanished = ".dev" in one.asked and all(".dev" in version for version in one.offered)  # nightly builds do
    if rows or variants - known or vanished:
        return "index_tag_missing", "likely"
    return "release_missing", "certain" if numbers(one.asked) > numbers(case.catalogue.newest_torch()) else "likely"


def _never_built(one: Unmet, case: Builds) -> tuple[Fault, Confidence] | None:
    """No list was shown, but the catalogue knows that this release has no such build, at least for this system."""
    if not one.asked or not one.local or not _ACCELERATOR.match(one.local):
        return None
    asked, builds = numbers(one.asked), case.catalogue.builds()
    if not min(numbers(build.torch) for build in builds) <= asked <= max(numbers(build.torch) for build in builds):
        return None
    rows = case.builds_here if case.facts.host.os else builds
    made = any(build.variant == one.local and numbers(build.torch) == asked for build in rows)
    return None if made else ("index_tag_missing", "likely")


def _not_there(one: Unmet, case: Builds) -> tuple[Fault, Confidence] | None:
    """Pip named the indexes that it asked, and none of them has builds with a tag."""
    if not one.asked or not one.local or one.variants or case.said("find_links_absent"):
        return None
    texts = [message.text for message in case.facts.messages]
    asked = [found["urls"] for text in texts for found in _LOOKED.finditer(text)]
    own = any(_PYTORCH.search(text) for text in texts)
    return ("index_not_used", "likely") if asked and not own else None


def _tag_at_fault(one: Unmet, tags: set[str], case: Builds) -> tuple[Fault, Confidence] | None:
    """The release is listed: what is not is its build with the tag that was asked for."""
    if not one.local:
        return None
    if f"{one.asked}+{one.local}" in one.offered:
        return None
    if any(_ACCELERATOR.match(tag) for tag in tags):
        return "index_tag_missing", "certain"
    # For systems without GPU builds PyTorch's own page has no `+cpu` either.
    untagged = one.local == "cpu" and any(_OWN_PAGE.search(message.text) for message in case.facts.messages)
    return ("index_tag_missing" if untagged else "index_not_used"), "likely"
