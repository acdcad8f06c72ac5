"""Why an installer found no torch: from what was asked and what it was offered to the machine's share in it.

What the index is to blame for (a folder or a tag that does not exist, a mirror that lags) is not answered here.
"""

import re
from collections.abc import Iterator
from typing import Literal

from envcheck.diagnosis.builds import Builds
from envcheck.model.base import Plain
from envcheck.model.facts import Message
from envcheck.model.patterns import regex
from envcheck.model.plan import Build
from envcheck.model.report import Confidence
from envcheck.model.versions import at_least, minor, numbers

Blame = Literal[
    "python_32bit",
    "python_too_new",
    "python_too_old",
    "glibc_too_old",
    "musl",
    "no_cuda_on_macos",
    "macos_x86_64_ended",
]

_NETWORK = (
    "proxy_error",
    "ssl_error",
    "ssl_module_missing",
    "network_unreachable",
    "network_timeout",
    "mirror_403",
    "mirror_connection_failed",
    "no_space",
    "hash_mismatch",
)
"""When one of these was said, the empty list is its consequence."""
_SOURCE_ONLY = regex(r"0\.1\.2(?:\.?post\d)?")
"""The source distributions that the default index lists for interpreters without any wheel."""
_INDEX_VARIANT = regex(r"/whl/(?:nightly/)?(cu\d{2,3}|rocm[\d.]{1,6}|cpu|xpu)\b")

_LINKS = regex(r"\bpip\S* install\b.{0,300}\s(?:-f|--find-links)[ =]https?://")


class Unmet(Plain, frozen=True):
    """A requirement that no offered version met."""

    message: Message
    asked: str | None
    """The release of torch that was pinned (or asked at least, or belongs to what was), without its local part.

    None: any release.
    """
    local: str | None
    """`cu113`."""
    offered: tuple[str, ...]
    variants: frozenset[str]
    """Variants whose own index was asked."""
    elsewhere: bool
    """Whether any other index was asked, too."""
    called: str = ""
    """The companion of torch that was asked for instead, `torchaudio 0.8.1`."""


class Reason(Plain, frozen=True):
    """Whose fault it is, how sure, and the build whose needs show it."""

    blame: Blame
    unmet: Unmet
    confidence: Confidence
    build: Build | None = None

    @property
    def wish(self) -> str:
        """What was asked for, `torch 1.12.1`."""
        if self.unmet.called:
            return self.unmet.called
        return f"torch {self.unmet.asked}" if self.unmet.asked else "torch"


def unmet(case: Builds) -> Iterator[Unmet]:
    """Every requirement on torch that an installer could not meet."""
    urls = [url for one in case.facts.settings or () for url in re.split(r"[,\s]+", one.value) if "://" in url]
    said = _INDEX_VARIANT.findall("\n".join(message.text for message in case.heard))
    variants = frozenset((*said, *_INDEX_VARIANT.findall("\n".join(urls))))
    elsewhere = not variants or any(not _INDEX_VARIANT.search(url) for url in urls)
    for message, groups in case.said("unmet_torch"):
        name, pinned = _requirement(groups["requirement"])
        offered = tuple(word for word in re.split(r"[,\s]+", groups.get("versions", "")) if word and word != "none")
        asked, _, local = (pinned or "").partition("+")
        asked = _known_release(case, asked, groups["requirement"]) if name == "torch" else asked
        called = ""
        if name != "torch":
            releases = _releases_beside(case, name)
            called, asked = f"{name} {asked}", releases.get(numbers(asked), "")
            offered = tuple(
                f"{torch}{version[len(public) :]}"
                for version in offered
                if (torch := releases.get(numbers(public := version.partition("+")[0])))
            )
            if not asked or not offered:
                continue
        yield Unmet(message, asked or None, local or None, offered, variants, elsewhere, called)


def _known_release(case: Builds, asked: str, requirement: str) -> str:
    """The release in full where a part of it was named: `2.6` is 2.6.0, and of `>=2.6` the oldest that fits counts."""
    known = {numbers(build.torch): build.torch for build in case.catalogue.builds()}
    bound = numbers(asked)
    if not asked or bound in known or not known:
        return asked
    if ">" in requirement or "~" in requirement:
        above = [release for release in known if release > bound]
        return known[min(above)] if above else asked
    padded = (*bound, 0)
    return known.get(padded, asked) if len(bound) == 2 else asked


def _releases_beside(case: Builds, companion: str) -> dict[tuple[int, ...], str]:
    """The releases of torch by the versions of torchvision or torchaudio that belong to them."""
    rows = case.catalogue.builds()
    pairs = ((row.torchvision if companion == "torchvision" else row.torchaudio, row.torch) for row in rows)
    return {numbers(version): torch for version, torch in pairs if version}


def reasons(case: Builds) -> tuple[Reason, ...]:
    """The machine's share in each failure; a failure that the network or the index explains gives none."""
    if any(case.said(slug) for slug in _NETWORK):
        return ()
    found = [reason for one in unmet(case) if (reason := _reason(one, case)) is not None]
    open_ones = [one for one in found if (one.blame, one.confidence) == ("python_32bit", "possible")]
    # A list without any wheel has two causes that are equally good.
    also = [Reason("python_too_new", one.unmet, "possible", one.build) for one in open_ones if one.unmet.asked]
    return (*found, *also)


def blamed(case: Builds, blame: Blame) -> Reason | None:
    """The first failure that `blame` explains."""
    return next((reason for reason in reasons(case) if reason.blame == blame), None)


def _requirement(text: str) -> tuple[str, str | None]:
    match = re.match(r"(torch\w*)(?:\[[^\]]*\])?\s*(?:\(?(?:===?|>=|~=|(?<=\())\s*([\w.+]+))?", text.strip())
    return (match[1], match[2]) if match else (text, None)


def _reason(one: Unmet, case: Builds) -> Reason | None:
    blame = _system_to_blame(one, case)
    if blame is not None:
        return Reason(blame, one, "certain")
    if _served_without_tags(one, case):
        return Reason("no_cuda_on_macos", one, "likely")
    wanted = [build for build in case.builds_here if _is_wanted(build, one)]
    python = _python_of(case)
    if python is not None and wanted:
        return _known_python(one, case, wanted, python)
    if all(_SOURCE_ONLY.fullmatch(version) for version in one.offered):
        return _nothing_offered(one, case, wanted)
    return _from_the_list(one, case, wanted)


def _system_to_blame(one: Unmet, case: Builds) -> Blame | None:
    """What the system or the kind of interpreter rules out, whatever the release."""
    if case.facts.host.os == "macos" and (one.local or "").startswith("cu"):
        return "no_cuda_on_macos"
    if case.facts.python.bits == 32:
        return "python_32bit"
    if _is_musl(case):
        return "musl"
    return "macos_x86_64_ended" if _past_intel_macs(one, case) else None


_PAGE = regex(
    r"Looking in links:[^\n]{0,200}torch_stable\.html|Looking in indexes:[^\n]{0,400}/whl/cu\d{2,3}\b"
    r"|\binstall\b[^\n]{0,300}\+cu[^\n]{0,300}\s(?:-f|--find-links)[ =]\S{0,80}torch_stable\.html"
)
"""What shows that PyTorch's own page was asked for wheels."""


def _served_without_tags(one: Unmet, case: Builds) -> bool:
    """Whether PyTorch's own page was asked and offered plain versions alone: so it is for systems without CUDA."""
    host, local = case.facts.host, one.local or ""
    if not case.pasted or host.os is not None or host.machine == "aarch64" or not local.startswith("cu"):
        return False
    plain = one.asked in one.offered and not any("+" in version for version in one.offered)
    rows = [build for build in case.catalogue.builds() if numbers(build.torch) == numbers(one.asked or "")]
    made = any(build.variant == local and build.index for build in rows)
    return plain and made and any(_PAGE.search(message.text) for message in case.facts.messages)


def _is_musl(case: Builds) -> bool:
    return "musl" in (case.facts.python.libc, case.facts.host.libc)


def _past_intel_macs(one: Unmet, case: Builds) -> bool:
    """Whether the release is newer than the last one for macOS on Intel, and this is such a Mac."""
    if (case.facts.host.os, case.facts.host.machine) != ("macos", "x86_64") or one.asked is None:
        return False
    last = _newest(list(case.builds_here))
    return last is not None and numbers(one.asked) > last


def _is_wanted(build: Build, one: Unmet) -> bool:
    if one.asked is not None and numbers(build.torch) != numbers(one.asked):
        return False
    if one.local is not None:
        return build.variant == one.local
    return build.variant in one.variants or (one.elsewhere and (build.on_default_index or not build.local))


def _python_of(case: Builds) -> str | None:
    version = case.facts.python.version
    if version is None:
        return None
    short = minor(version)
    return short + "t" if case.facts.python.free_threaded else short


def _known_python(one: Unmet, case: Builds, wanted: list[Build], python: str) -> Reason | None:
    if not any(python in build.pythons for build in wanted):
        newest = max(wanted, key=lambda build: numbers(build.torch))
        limits = [numbers(version) for build in wanted for version in build.pythons if not version.endswith("t")]
        if limits and numbers(python) < min(limits):
            return Reason("python_too_old", one, "certain", newest)
        return Reason("python_too_new", one, "certain", newest)
    if one.called and one.offered and numbers(one.asked or "") < min(map(numbers, one.offered)):
        return Reason("python_too_new", one, "likely", wanted[0])  # a companion's wheels may come a release later
    if _only_sources(one, case):
        return _old_glibc(one, case, wanted) or Reason("python_32bit", one, "likely")
    young = re.fullmatch(r"3\.(?:1[1-9]|[2-9]\d)\.0\S*", case.facts.python.version or "")
    if (young or one.asked is None) and case.pasted and not one.offered:  # written before there were wheels for it
        return _old_glibc(one, case, wanted) or Reason("python_too_new", one, "possible")
    return _old_glibc(one, case, wanted)


def _only_sources(one: Unmet, case: Builds) -> bool:
    """Whether no wheel fits an interpreter of a version that has some, on an index that was given for the variant."""
    sources = bool(one.offered) and all(_SOURCE_ONLY.fullmatch(version) for version in one.offered)
    given = one.local is None or bool(one.variants) or any(row.key == "find-links" for row in case.facts.settings or ())
    given = given or any(_LINKS.search(message.text) for message in case.heard)
    return case.pasted and sources and given and case.facts.python.bits != 64 and one.asked is not None


def _old_glibc(one: Unmet, case: Builds, wanted: list[Build]) -> Reason | None:
    """glibc, when it is known to be older than what every wanted build needs, or uv named the platforms."""
    have = case.facts.python.libc_version or case.facts.host.libc_version
    rows = [build for build in wanted if build.os == "linux"]
    if have and rows and not any(at_least(have, build.libc or "0") for build in rows):
        return Reason("glibc_too_old", one, "certain", rows[0])
    return None


def _nothing_offered(one: Unmet, case: Builds, wanted: list[Build]) -> Reason | None:
    """Not one wheel fits the interpreter: it is of 32 bits, or of a version that the release does not serve."""
    known_64 = case.facts.python.bits == 64
    old = _old_glibc(one, case, wanted)
    if old is not None:
        return old
    if one.offered and not known_64:
        # Who asks for a CUDA variant has a 64-bit machine, as a rule, and a new Python.
        if (one.local or "cpu") != "cpu" and wanted:
            return Reason("python_too_new", one, "possible", wanted[0])
        return Reason("python_32bit", one, "possible")
    if one.asked is None:
        return Reason("python_too_new", one, "possible")
    if not wanted and known_64 and one.offered:  # a release older than the catalogue's
        return Reason("python_too_new", one, "likely")
    first = min(numbers(build.torch) for build in case.catalogue.builds())
    ancient = one.local is None and numbers(one.asked) < first and not one.offered
    return Reason("python_too_new", one, "possible", wanted[0] if wanted else None) if wanted or ancient else None


def _from_the_list(one: Unmet, case: Builds, wanted: list[Build]) -> Reason | None:
    """The interpreter is not known, so the bounds of the list must tell."""
    if one.asked is None:
        return None
    bases = sorted({numbers(version) for version in one.offered if not _SOURCE_ONLY.fullmatch(version)})
    old = _old_glibc(one, case, wanted)
    if old is not None:
        return old
    asked = numbers(one.asked)
    if not wanted:  # a release older than the catalogue's, on an index that lists others of all ages
        plain = one.elsewhere and any(not _local(version) for version in one.offered)
        return Reason("python_too_new", one, "likely") if plain and bases and asked < bases[0] else None
    if not bases or bases[0] <= asked <= bases[-1]:
        return None
    if asked < bases[0]:
        return Reason("python_too_new", one, "likely", wanted[0])
    return _list_ends_early(one, case, wanted, bases[-1])


def _list_ends_early(one: Unmet, case: Builds, wanted: list[Build], last: tuple[int, ...]) -> Reason | None:
    """The newest release offered tells which limit was hit: of macOS on Intel, of an old glibc, of an old Python."""
    variants = {_local(version) for version in one.offered} - {""}
    rows = [build for build in case.builds_here if not variants or build.variant in variants]
    if _newest(rows) == last:
        return None  # the index itself ends here
    newest_need = max((build.libc or "0" for build in wanted), key=numbers)
    old_glibc = [build for build in rows if build.os == "linux" and not at_least(build.libc or "0", newest_need)]
    hints = " ".join(groups.get("platforms", "") for _, groups in case.said("wheels_for_platforms"))
    maybe_linux = case.facts.host.os in (None, "linux")
    if maybe_linux and ("manylinux_2_" in hints or (rows and _newest(old_glibc) == last)):
        return Reason("glibc_too_old", one, "certain" if hints else "likely", wanted[0])
    pythons = {python for build in rows for python in build.pythons}
    if any(_newest([build for build in rows if python in build.pythons]) == last for python in pythons):
        return Reason("python_too_old", one, "likely", wanted[0])
    return None


def _local(version: str) -> str:
    return version.partition("+")[2]


def _newest(rows: list[Build]) -> tuple[int, ...] | None:
    return max((numbers(build.torch) for build in rows), default=None)
