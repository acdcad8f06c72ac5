"""GPUs that a build of torch has no code for, from facts and from torch's own warnings."""

from collections.abc import Iterator, Sequence
from typing import Literal

from envcheck.catalogue.software import limit
from envcheck.diagnosis import exhibits
from envcheck.diagnosis.case import Case
from envcheck.model.base import Plain
from envcheck.model.patterns import regex
from envcheck.model.report import Confidence, Evidence
from envcheck.model.versions import at_least, capability, numbers

_AMD = regex(r"\b(?:AMD|Radeon|Instinct|gfx\d)")
Direction = Literal["too_new", "too_old", "fits"]


class Misfit(Plain, frozen=True):
    """A GPU and how it stands to the build: `fits` is a warning that is not to be believed."""

    name: str
    capability: str
    kernels: tuple[str, ...]
    direction: Direction
    evidence: tuple[Evidence, ...]
    confidence: Confidence
    number: int | None = None


def misfits(case: Case) -> tuple[Misfit, ...]:
    """Each GPU (by name and capability) once; what torch said counts before what is computed."""
    if case.facts.host.jetson or case.build_kind not in (None, "cuda"):
        return ()
    found: dict[tuple[str, str], Misfit] = {}
    told = (*_warned(case), *_listed_by_ggml(case))
    for one in (*told, *_computed(case), *_complained(case), *_before_its_time(case), *_before_all_builds(case)):
        found.setdefault((_short(one.name), one.capability), one)
    return tuple(found.values())


def _short(name: str) -> str:
    return name.removeprefix("NVIDIA ").casefold()


def _computed(case: Case) -> Iterator[Misfit]:
    kernels, refused = case.kernels, bool(case.said("no_kernel_image"))
    for card in case.cards if kernels else ():
        if card.capability is None or card.kernel_ok:
            continue
        # Where torch found no kernel, no PTX helped either; and who pastes the list, has seen torch's warning.
        shown = case.pasted and bool(case.facts.torch.arch_list)
        machine_code = [one for one in kernels or () if not ((refused or shown) and one.startswith("compute_"))]
        if any(case.catalogue.runs(kernel, card.capability) for kernel in machine_code):
            continue
        listed = " ".join(kernels or ())
        from_torch = bool(case.facts.torch.arch_list)
        evidence = (
            exhibits.fact(
                f"{card.fact}.compute_capability", card.capability, "torch" if "torch" in card.fact else "nvml"
            ),
            exhibits.fact("torch.arch_list", listed, "torch" if from_torch else "catalogue"),
        )
        sure: Confidence = "certain" if from_torch else "likely"
        yield Misfit(
            card.name,
            card.capability,
            kernels or (),
            _direction(card.capability, kernels or ()),
            evidence,
            sure,
            card.number,
        )


def _complained(case: Case) -> Iterator[Misfit]:
    """An unknown build has no kernels for the one GPU that was named: the newest build tells which is older."""
    told = case.said("no_kernel_image")
    card = case.cards[0] if len({card.name for card in case.cards}) == 1 else None
    if not told or case.kernels or not case.pasted or card is None or card.capability is None:
        return
    shown = exhibits.fact(f"{card.fact}.name", card.name, "text")
    yield Misfit(
        card.name, card.capability, (), _by_newest_build(case, card.capability), (shown,), "likely", card.number
    )


def _before_its_time(case: Case) -> Iterator[Misfit]:
    """A build of a CUDA version from before the GPU, with no machine code for it, when a library failed.

    Its PTX may start, but the CUDA libraries beside it have no code for the GPU.
    """
    failed = case.said("gpu_program_failed") or case.said("no_kernel_image")
    cuda = case.build_cuda or _mentioned_cuda(case) or _newest_cuda_of(case) or _cuda_of_wheels(case)
    machine_code = [one for one in case.kernels or () if not one.startswith("compute_")]
    for card in case.cards if failed and case.pasted and cuda else ():
        first = case.catalogue.first_cuda(card.capability or "")
        served = any(case.catalogue.runs(kernel, card.capability or "") for kernel in machine_code)
        if cuda and first and not at_least(cuda, first) and not served:
            shown = exhibits.fact("torch.cuda", cuda, case.facts.torch.look)
            yield Misfit(
                card.name,
                card.capability or "",
                case.kernels or (),
                "too_new",
                (shown, *exhibits.heard(failed, 1)),
                "likely",
                card.number,
            )


def _before_all_builds(case: Case) -> Iterator[Misfit]:
    """GPUs from before all official builds, beside a CUDA build of which no more is known."""
    missed = not case.cuda_available and (case.build_kind or case.cuda_was_missed)
    if case.kernels or not missed or not case.before_all_builds:
        return
    for card in case.cards:
        shown = exhibits.fact(f"{card.fact}.name", card.name, case.facts.torch.look)
        yield Misfit(card.name, card.capability or "", (), "too_old", (shown,), "likely", card.number)


def _mentioned_cuda(case: Case) -> str | None:
    """The one CUDA that somebody names beside an error: most often that of the build."""
    named = {groups["cuda"].replace("_", ".") for _, groups in case.said("cuda_mentioned")}
    return named.pop() if len(named) == 1 else None


def _cuda_of_wheels(case: Case) -> str | None:
    """The CUDA that NVIDIA's own wheels are of, where there is no torch: CTranslate2, ONNX Runtime."""
    names = tuple(limit("wheels_numbered_as_cuda").split())
    rows = (one.version for one in case.facts.packages or () if one.name.startswith(names) and one.version)
    return next((".".join(version.split(".")[:2]) for version in rows), None)


def _newest_cuda_of(case: Case) -> str | None:
    """The newest CUDA that the release was ever built with, where the build is not known.

    Of one from before the catalogue it is at most that of the oldest release there.
    """
    builds = [one for one in case.catalogue.builds() if one.cuda]
    have = numbers(case.torch_version or "")
    first = min((numbers(one.torch) for one in builds), default=())
    rows = [one.cuda for one in builds if numbers(one.torch) == (first if have and have < first else have)]
    return max((cuda for cuda in rows if cuda), key=numbers, default=None)


def _listed_by_ggml(case: Case) -> Iterator[Misfit]:
    """llama.cpp names the GPU's architecture and those that it was compiled for."""
    for message, groups in case.said("kernels_not_compiled"):
        have = f"{groups['device'][:-1]}.{groups['device'][-1]}"
        kernels = tuple(f"sm_{one[:-1]}" for one in groups["kernels"].split(",") if one.endswith("0"))
        name = next((card.name for card in case.cards if card.capability == have), "GPU")
        yield Misfit(name, have, kernels, _direction(have, kernels), (exhibits.spoken(message, groups),), "certain")


def _warned(case: Case) -> Iterator[Misfit]:
    for message, groups in case.said("capability_not_in_build"):
        major, minor = groups["device"][:-1], groups["device"][-1]
        kernels = tuple(word.strip(",.") for word in groups.get("kernels", "").split()) or case.kernels or ()
        yield _judged(
            case,
            groups.get("name", "GPU").strip(),
            f"{major}.{minor}",
            kernels,
            exhibits.spoken(message, {"": groups["device"]}),
        )
    for message, groups in case.said("capability_out_of_range"):
        if "name" not in groups:  # its numbers were never filled in
            yield from _oldest(case, exhibits.spoken(message, groups))
            continue
        evidence = exhibits.spoken(message, {"": groups["name"]})
        have = f"{groups['major']}.{groups['minor']}"
        if _AMD.search(groups["name"]):  # ROCm numbers its architectures otherwise
            yield Misfit(groups["name"], have, (), "fits", (evidence,), "likely")
            continue
        if "old" in groups:
            yield Misfit(groups["name"], have, case.kernels or (), "too_old", (evidence,), "certain")
            continue
        kernels = case.facts.torch.arch_list or _range(groups) or case.kernels or ()
        below = have != "?" and _by_newest_build(case, have) == "too_old"  # torch says it of no other card
        if kernels or "asks" in groups or (case.pasted and below):
            yield _judged(case, groups["name"], have, kernels, evidence)


def _oldest(case: Case, evidence: Evidence) -> Iterator[Misfit]:
    """The cards that are meant where torch says only that one is too old."""
    least = min((card.capability for card in case.cards if card.capability), key=numbers, default=None)
    names = [card.name for card in case.cards if card.capability == least] if least else ["GPU"]
    for name in names:
        yield Misfit(name, least or "?", case.kernels or (), "too_old", (evidence,), "certain")


def _range(groups: dict[str, str]) -> tuple[str, ...]:
    """Kernels named by a warning: the ends of a range, or a list."""
    if "list" in groups:
        words = [line.split()[1] for line in groups["list"].splitlines() if line.strip().startswith("- ")]
    else:
        words = [groups[end] for end in ("minimum", "maximum") if end in groups]
    return tuple("sm_" + word.replace(".", "") for word in words)


def _judged(case: Case, name: str, have: str, kernels: Sequence[str], evidence: Evidence) -> Misfit:
    # PTX does not count: torch warns where it has no machine code, and the CUDA libraries beside it have none either.
    fits = any(case.catalogue.runs(kernel, have) for kernel in kernels if not kernel.startswith("compute_"))
    broken = case.said("no_kernel_image") or any(card.kernel_ok is False for card in case.cards)
    direction: Direction = "fits" if fits and not broken else _direction(have, kernels)
    if not kernels:
        direction = _by_newest_build(case, have)
    return Misfit(name, have, tuple(kernels), direction, (evidence,), "certain" if kernels else "likely")


def _direction(have: str, kernels: Sequence[str]) -> Direction:
    known = [made_for for made_for in map(capability, kernels) if made_for is not None]
    return "too_new" if known and (capability(have) or (0, 0)) > max(known) else "too_old"


def older_than_newest_build(case: Case, have: str) -> bool:
    """Whether a GPU of that capability is older than all that the newest build serves."""
    return _by_newest_build(case, have) == "too_old"


def _by_newest_build(case: Case, have: str) -> Direction:
    """With no list to compare, the newest build tells: what it still serves is new, the rest is old."""
    builds = [build for build in case.builds_here if build.capabilities and build.cuda]
    newest = max(builds, key=lambda build: (numbers(build.torch), numbers(build.cuda or "0")), default=None)
    serves = newest is None or any(case.catalogue.runs(kernel, have) for kernel in newest.capabilities)
    return "too_new" if serves else "too_old"
