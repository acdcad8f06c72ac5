"""EC622, EC623, EC627: an index was reached, and it does not have what was asked."""

import re
from collections.abc import Iterator

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.machine import Said
from envcheck.diagnosis.resolution import (
    Fault,
    Verdict,
    faults,
    known_variants,
    network_failed,
    never_built,
    unknown_folder,
)
from envcheck.diagnosis.torch_build import asked
from envcheck.model.patterns import regex
from envcheck.model.report import Confidence, Evidence, Finding, Fix
from envcheck.model.text import Text, say
from envcheck.model.versions import numbers

_TAGGED = regex(r"\bpip3?(?:\.\d+)?\s+install\b.{0,200}?\b(?P<torch>torch==\d[\w.]{1,20}\+(?P<tag>cu\d{2,3}))\b")
_INDEX = regex(
    r"\s(?:-i|-f|-c|-r|--index|--index-url|--extra-index-url|--find-links|--requirement)[\s=]|\.whl\b|\bPIP_"
)
_ROCM_SERVER = regex(r"://\S{0,80}\brocm\b")


def _blamed(case: Case, fault: Fault) -> Verdict | None:
    return next((one for one in faults(case) if one.fault == fault), None)


def _asked(verdict: Verdict) -> str:
    one = verdict.unmet
    tag = f"+{one.local}" if one.local else ""
    return f"torch=={one.asked}{tag}" if one.asked else "torch"


def _shown(verdict: Verdict) -> tuple[Evidence, ...]:
    offered = verdict.unmet.offered
    listed = ", ".join(offered[:3] + ("...",) * (len(offered) > 6) + offered[-3:] if len(offered) > 3 else offered)
    return (*heard(((verdict.unmet.message, {}),), 1), *((fact("messages", listed, "text"),) if listed else ()))


@check("EC622", "index-tag-missing", cause="index_tag_missing", explains=("EC635", "EC640"), needs=("anything_said",))
def index_tag_missing(this: Check, case: Case) -> Iterator[Finding]:
    """There is no such CUDA variant of this release.

    What it means: the index was reached, but it has no folder of that name, or this release was not built for that
    version of CUDA on this system.

    Common causes: the CUDA version of the toolkit or of nvidia-smi was written into the address; a pair of release
    and CUDA from a guide for another system; a CUDA version for which PyTorch makes no builds; the address of a
    wheel that was never built or was taken away; pip's spelling with `+cu` given to conda, which names builds
    otherwise.

    What to do: take a variant that exists. The driver decides which are possible, not the installed toolkit.
    """
    verdict = _blamed(case, "index_tag_missing")
    if verdict is not None:
        known = known_variants(case)
        tags = [tag for tag in (verdict.unmet.local, *sorted(verdict.unmet.variants)) if tag]
        tag = next((tag for tag in tags if tag not in known), tags[0] if tags else "?")
        yield this.finding(
            say("{asked} does not exist for {tag}", asked=_asked(verdict).partition("+")[0], tag=tag),
            why=say("These variants exist for it: {variants}", variants=_variants(case, verdict))
            if _variants(case, verdict)
            else None,
            evidence=_shown(verdict),
            fixes=remedies.reinstall_torch(case),
            confidence=verdict.confidence,
        )
        return
    looks = (
        _no_folder,
        _never_built,
        _absent_wheel,
        _no_page,
        _pip_spelling,
        _no_conda_tag,
        _rocm_index_lacks,
        _other_tag,
        _never_tagged,
    )
    absent = next((found for look in looks if (found := look(case)) is not None), None)
    if absent is not None:
        title, said, confidence = absent
        yield this.finding(title, evidence=heard(said, 1), fixes=remedies.reinstall_torch(case), confidence=confidence)


_Absent = tuple[Text, Said, Confidence]
"""What the server does not have, the message that shows it, and how sure that is."""


def _no_folder(case: Case) -> _Absent | None:
    refused = unknown_folder(case)
    if refused is None:
        return None
    return say("PyTorch's index has no folder {tag}", tag=refused[0]), ((refused[1], {}),), "certain"


def _never_built(case: Case) -> _Absent | None:
    found = never_built(case)
    if found is None:
        return None
    version, variant, message = found
    title = say("{asked} does not exist for {tag}", asked=f"torch=={version}", tag=variant)
    return title, ((message, {}),), "likely"


def _absent_wheel(case: Case) -> _Absent | None:
    """The address of a wheel of torch that somebody wrote down and that answers 404."""
    found = ((message, groups) for message, groups in case.said("mirror_404") if groups.get("url", "").endswith(".whl"))
    said = tuple(one for one in found if re.search(r"/torch-\d", one[1]["url"]))
    return (say("There is no such wheel on the server"), said, "possible") if said else None


def _no_page(case: Case) -> _Absent | None:
    """A page of links that its server does not have: a pair of CUDA and release that was never built."""
    said = case.said("find_links_absent")
    return (say("The server has no such page: {url}", url=said[0][1]["url"]), said, "likely") if said else None


def _pip_spelling(case: Case) -> _Absent | None:
    """`pytorch=2.1.0+cu121`: conda's channels name their builds otherwise."""
    said = case.said("conda_pip_tag")
    if not said or not case.said("conda_not_found"):
        return None
    version = said[0][1]["version"]
    title = say("conda's channels know no version {version}: only pip's builds are named so", version=version)
    return title, said, "likely"


def _no_conda_tag(case: Case) -> _Absent | None:
    """`pytorch-cuda=12.2`: conda's channels have no such CUDA."""
    said = case.said("conda_cuda_tag")
    if not said or not case.said("conda_not_found") or case.on_macos:
        return None
    name, version = said[0][1]["name"], said[0][1]["version"]
    return say("conda's channels have no {name} {version}", name=name, version=version), said, "likely"


def _never_tagged(case: Case) -> _Absent | None:
    """A command that pins a build with a tag which no index has for this release, and nothing else was pasted."""
    said = case.facts.messages
    quiet = case.pasted and not case.torch_version and case.cuda_available is None
    if not quiet or any(one.kind == "error" for one in said):
        return None
    system = case.facts.host.os or "linux"
    for message in said:
        found = _TAGGED.search(message.text) if message.kind == "command" and _INDEX.search(message.text) else None
        release = numbers(found["torch"].partition("==")[2].partition("+")[0]) if found else ()
        rows = [one for one in case.catalogue.builds() if numbers(one.torch) == release and one.os == system]
        if found and rows and not any(one.variant == found["tag"] and one.index for one in rows):
            return say("The index has no {asked}", asked=found["torch"]), ((message, {}),), "possible"
    return None


def _other_tag(case: Case) -> _Absent | None:
    """Another package whose release is listed, with tags of other CUDA versions."""
    for message, groups in case.said("unmet_other"):
        release = re.split(r"\.post|\+", groups["wanted"])[0]
        offered = [word for word in re.split(r"[,\s]+", groups["versions"]) if word]
        tagged = [one for one in offered if one.startswith((f"{release}.post", f"{release}+"))]
        if release != groups["wanted"] and tagged:
            asked_for = f"{groups['name']}=={groups['wanted']}"
            return say("The index has no {asked}", asked=asked_for), ((message, groups),), "likely"
    return None


def _rocm_index_lacks(case: Case) -> _Absent | None:
    """AMD's own index was reached, and its folder does not exist or does not hold the release."""
    said = case.said("rocm_index_lacks")
    if not said or network_failed(case):
        return None
    title = say("The index has no {asked}", asked=said[0][1]["requirement"])
    return title, said, "likely" if asked(case, _ROCM_SERVER) else "possible"


def _variants(case: Case, verdict: Verdict) -> str:
    asked = verdict.unmet.asked
    rows = (build for build in case.builds_here if asked and numbers(build.torch) == numbers(asked))
    return ", ".join(sorted({build.variant for build in rows}))


@check("EC623", "index-not-used", cause="index_not_used", needs=("anything_said",))
def index_not_used(this: Check, case: Case) -> Iterator[Finding]:
    """The index of the CUDA builds was not asked.

    What it means: the installer lists the release, but only its plain builds: a version with `+cu` in its name is
    on PyTorch's own index only.

    Common causes: `--index-url` or `--extra-index-url` was left out or mistyped; a requirements file without it; a
    mirror of the default index; an index that has nothing for this Python or system.

    What to do: add the index of that CUDA variant to the command.
    """
    verdict = _blamed(case, "index_not_used")
    if verdict is None:
        yield from _about_to_fail(this, case)
        return
    one = verdict.unmet
    index = next((build.index for build in case.catalogue.builds() if build.variant == one.local and build.index), None)
    again: tuple[Fix, ...] = ()
    if index:
        argv = remedies.pip(case, "install", _asked(verdict), "--index-url", index)
        again = (remedies.command(case, say("Ask the index that has it"), *argv),)
    yield this.finding(
        say("{asked} is only on PyTorch's own index, which was not asked", asked=_asked(verdict)),
        evidence=_shown(verdict),
        fixes=(*again, *remedies.reinstall_torch(case, alternative=bool(again))),
        confidence=verdict.confidence,
    )


def _about_to_fail(this: Check, case: Case) -> Iterator[Finding]:
    """A command that asks for a build with `+cu` in its name and for no index: nothing but it was pasted."""
    said = case.facts.messages
    known = case.torch_version or case.cuda_available is not None
    if not case.pasted or known or any(one.kind == "error" for one in said):
        return
    for message in said:
        found = _TAGGED.search(message.text) if message.kind == "command" else None
        if found and not _INDEX.search(message.text):
            rows = (one.index for one in case.catalogue.builds() if one.variant == found["tag"])
            url = next((index for index in rows if index), None)
            argv = remedies.pip(case, "install", found["torch"], *(("--index-url", url) if url else ()))
            yield this.finding(
                say("{asked} is only on PyTorch's own index, which was not asked", asked=found["torch"]),
                evidence=heard(((message, {}),), 1),
                fixes=(remedies.command(case, say("Ask the index that has it"), *argv),) if url else (),
                confidence="possible",
            )
            return


@check("EC627", "release-missing", cause="release_missing", needs=("anything_said",))
def release_missing(this: Check, case: Case) -> Iterator[Finding]:
    """The index has no such release.

    What it means: the version that was asked for is not among those that the index lists.

    Common causes: a version that was never published, or was withdrawn; a mirror that lags behind; versions of torch
    and torchvision mixed up.

    What to do: take a version that is listed, or ask the official index.
    """
    verdict = _blamed(case, "release_missing")
    if verdict is not None:
        yield this.finding(
            say("The index has no {asked}", asked=_asked(verdict)),
            evidence=_shown(verdict),
            fixes=remedies.reinstall_torch(case),
            confidence=verdict.confidence,
        )


CHECKS = (index_tag_missing, index_not_used, release_missing)
