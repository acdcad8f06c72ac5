"""What is said beside a plan: why this build, what would allow a newer one, and what would make anything fit."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from envcheck.catalogue import Catalogue
from envcheck.model.base import Plain
from envcheck.model.plan import Build, Wish
from envcheck.model.text import Text, say
from envcheck.model.versions import capability, numbers
from envcheck.recommend.choice import best
from envcheck.recommend.rules import NAMES, Judge, kind_of
from envcheck.recommend.target import Device, Target
from envcheck.recommend.wishes import spoken

Verdicts = Sequence[tuple[Build, tuple[tuple[str, Text], ...]]]
"""Builds, each with what the rules object to (rule name and reason)."""
_CHANGEABLE = ("driver", "python", "libc", "os-version")


class Change(Plain, frozen=True):
    """Something that a person can change, and the build that it would allow."""

    rules: frozenset[str]
    build: Build


def label(build: Build) -> str:
    """A build in a few characters: `2.6.0+cu124`."""
    return f"{build.torch}+{build.variant}"


def names(devices: Iterable[Device]) -> str:
    """GPUs for people, each with its code."""
    return ", ".join(
        dict.fromkeys(f"{one.name} ({one.code})" if one.code not in (None, one.name) else one.name for one in devices)
    )


def why(chosen: Build, judge: Judge) -> Text:
    """The reason for the chosen build."""
    target, kind = judge.target, kind_of(chosen)
    if kind == "nvidia":
        return _why_cuda(chosen, judge)
    if kind is None:
        idle = say("the newest CPU build, as asked for; it leaves the GPU idle")
        return idle if target.accelerators else say("the newest CPU build: there is no GPU that PyTorch could use")
    if kind == "amd" and target.amd:
        return say("the newest release with kernels for {gpus}", gpus=names(target.amd))
    return say("the newest release for {name} GPUs", name=NAMES[kind])


def _why_cuda(chosen: Build, judge: Judge) -> Text:
    target = judge.target
    if "nvidia" not in (target.accelerators or ()):
        return say("the newest release of the variant that was asked for; no GPU or driver was there to check it")
    driver = target.driver or "?"
    if judge.own_toolkit(chosen):
        text = "the newest release with kernels for {gpus} that driver {driver} (CUDA {cuda}) runs"
        return say(text, gpus=names(target.nvidia), driver=driver, cuda=target.cuda)
    return say(
        "the newest release with kernels for {gpus}; driver {driver} (CUDA {cuda}) runs its CUDA {toolkit} "
        "by minor-version compatibility",
        gpus=names(target.nvidia),
        driver=driver,
        cuda=target.cuda or "?",
        toolkit=chosen.cuda,
    )


def notes(chosen: Build, judge: Judge, catalogue: Catalogue, verdicts: Verdicts) -> tuple[Text, ...]:
    """What to know beside the choice."""
    return tuple(_notes(chosen, judge, catalogue, verdicts))


def _notes(chosen: Build, judge: Judge, catalogue: Catalogue, verdicts: Verdicts) -> Iterator[Text]:
    target = judge.target
    if judge.wish.pre:
        where = f"{catalogue.platforms.index.nightly}/{chosen.variant}"
        yield say("pre-releases are not in the catalogue; nightly builds are at {index}", index=where)
    if judge.wish not in (Wish(conda=judge.wish.conda), Wish(conda=judge.wish.conda, pre=True)):
        yield say("narrowed by the wish: {wish}", wish=spoken(judge.wish))
    if kind_of(chosen) == "nvidia" and target.nvidia:
        if not judge.own_toolkit(chosen):
            yield from _own_toolkit(target, verdicts)
        if not judge.native(chosen):
            yield say(
                "it has no kernels made for this GPU: the driver compiles them at the first start, which takes time"
            )
    if chosen.libc and target.os == "linux" and target.libc_version is None:
        yield say("the version of glibc is not known here; this build needs {needed}", needed=chosen.libc)
    yield from _newer(chosen, judge, catalogue, verdicts)


def _own_toolkit(target: Target, verdicts: Verdicts) -> Iterator[Text]:
    """The last release that was made for the driver's own CUDA, where that is not the chosen one."""
    own = [build for build, against in verdicts if not against and build.cuda == target.cuda]
    if own and target.cuda:
        last = max(own, key=lambda build: numbers(build.torch))
        yield say("the last release made for CUDA {cuda} itself is {build}", cuda=target.cuda, build=label(last))


def _newer(chosen: Build, judge: Judge, catalogue: Catalogue, verdicts: Verdicts) -> Iterator[Text]:
    """What stands between this machine and newer releases, one change at a time."""
    for rule in _CHANGEABLE:
        allowed = [one.build for one in _changes(verdicts, (rule,)) if numbers(one.build.torch) > numbers(chosen.torch)]
        if allowed:
            yield _would_allow(rule, _newest(allowed, catalogue, judge.target), judge.target, catalogue)
    yield from _kernels_ended(chosen, judge, verdicts)
    yield from _unverified(chosen, judge, verdicts)


def _unverified(chosen: Build, judge: Judge, verdicts: Verdicts) -> Iterator[Text]:
    """Releases that an index told of, whose kernels nobody has listed yet."""
    if kind_of(chosen) not in ("nvidia", "amd"):
        return
    if not chosen.capabilities:
        yield say("what this build holds kernels for is not known yet: it was not checked against the GPU")
        return
    unlisted = [build for build, against in verdicts if not build.capabilities and kind_of(build) == kind_of(chosen)]
    newer = {build.torch for build in unlisted if (build.os, build.machine) == (chosen.os, chosen.machine)}
    if newer and not judge.wish.torch:
        newest = max(newer, key=numbers)
        yield say("{torch} is out, but what it holds kernels for is not known: --torch {torch} plans it", torch=newest)


def _kernels_ended(chosen: Build, judge: Judge, verdicts: Verdicts) -> Iterator[Text]:
    """The release from which on no build for this system has kernels for the GPUs, if there is one."""
    elsewhere = {"os", "machine", "kind", "wish"}
    here = [(build, {name for name, _ in against}) for build, against in verdicts]
    here = [(build, against) for build, against in here if not against & elsewhere]
    last = max(numbers(build.torch) for build, against in here if "capability" not in against)
    ended = [build.torch for build, _ in here if numbers(build.torch) > last and build.capabilities]
    if ended and kind_of(chosen) in ("nvidia", "amd"):
        told = names(judge.target.nvidia if kind_of(chosen) == "nvidia" else judge.target.amd)
        first = min(ended, key=numbers)
        yield say("releases from {torch} on have no kernels for {gpus}, whatever the driver", torch=first, gpus=told)


def _changes(verdicts: Verdicts, rules: Iterable[str]) -> list[Change]:
    """Builds that only `rules` object to."""
    wanted = frozenset(rules)
    return [Change(wanted, build) for build, against in verdicts if against and {name for name, _ in against} == wanted]


def _newest(builds: Iterable[Build], catalogue: Catalogue, target: Target) -> Build:
    """The newest of `builds`; of one release the one with the oldest driver."""
    return max(
        builds, key=lambda build: (numbers(build.torch), [-part for part in _driver_numbers(build, catalogue, target)])
    )


def _driver_numbers(build: Build, catalogue: Catalogue, target: Target) -> tuple[int, ...]:
    needed = catalogue.minimum_driver(build.cuda, target.driver_os) if build.cuda else None
    return (*numbers(needed or ""), 0, 0, 0)[:3]


def _would_allow(rule: str, build: Build, target: Target, catalogue: Catalogue) -> Text:
    told = label(build)
    if rule == "driver":
        needed = catalogue.minimum_driver(build.cuda or "", target.driver_os) or "?"
        return say("driver {driver} or newer would allow {build}", driver=needed, build=told)
    if rule == "python":
        return say("Python {python} would allow {build}", python=_nearest_python(build, target), build=told)
    if rule == "libc":
        return say("a system with glibc {libc} or newer would allow {build}", libc=build.libc or "?", build=told)
    return say("macOS {version} or newer would allow {build}", version=build.os_version or "?", build=told)


def _nearest_python(build: Build, target: Target) -> str:
    here = numbers(target.python or "3.12")
    plain = [python for python in build.pythons if not python.endswith("t")] or list(build.pythons)
    return min(plain, key=lambda python: abs(numbers(python)[1] - here[1]))


def why_nothing(target: Target, catalogue: Catalogue) -> Text:
    """Why there is no plan."""
    for known, what in ((target.os, "os"), (target.machine, "machine"), (target.python, "python")):
        if known is None:
            return _not_known(what)
    if target.accelerators is None:
        return say("it is not known whether a GPU is in this machine, so no build can be called right")
    doubt = _doubt(target, catalogue) if "nvidia" in target.accelerators else None
    if doubt or not target.accelerators:
        return doubt or say("no official build is right for this system")
    told = names(target.nvidia or target.amd) or NAMES[target.accelerators[0]]
    return say("no official build is right for {gpus} on this system", gpus=told)


def _doubt(target: Target, catalogue: Catalogue) -> Text | None:
    """What must be known of the NVIDIA GPUs and is not."""
    if target.jetson:
        return say("this is a Jetson board: official builds have no kernels for its GPU")
    if _before_all_builds(target, catalogue):
        return say("{gpus} is in this machine, too old for the official builds of torch", gpus=names(target.nvidia))
    if target.driver is None and target.cuda is None:
        return say("{gpus} is in this machine, but no working NVIDIA driver was found", gpus=names(target.nvidia))
    unknown = names(one for one in target.nvidia if one.code is None)
    if unknown:
        return say("the compute capability of {gpus} is not known, so no build can be called right", gpus=unknown)
    return None


def _before_all_builds(target: Target, catalogue: Catalogue) -> bool:
    """Whether the cards' PCI ids alone show that no build has kernels for any of them."""
    return bool(target.nvidia) and not _maybe_served(target, catalogue)


def _maybe_served(target: Target, catalogue: Catalogue) -> list[Device]:
    """The cards that some build may have kernels for."""
    least = catalogue.least_served(target.os, target.machine)
    return [one for one in target.nvidia if (capability(one.at_most or "") or least) >= least]


def _not_known(what: str) -> Text:
    if what == "os":
        return say("the operating system is not known, so no build can be called right")
    if what == "machine":
        return say("the processor architecture is not known, so no build can be called right")
    return say("the Python version is not known, so no build can be called right")


def nearest(judge: Judge, catalogue: Catalogue, verdicts: Verdicts) -> tuple[Text, ...]:
    """The smallest changes that would make something fit, least first."""
    return tuple(_nearest(judge, catalogue, verdicts))


def _nearest(judge: Judge, catalogue: Catalogue, verdicts: Verdicts) -> Iterator[Text]:
    target = judge.target
    yield from _missing(target, catalogue)
    if target.jetson:
        yield from _jetson(target, catalogue)
    single = [rule for rule in _CHANGEABLE if _changes(verdicts, (rule,))]
    for rule in single:
        yield _would_allow(rule, _least(rule, verdicts, catalogue, target), target, catalogue)
    if not single:
        yield from _two_changes(verdicts, catalogue, target)
    if _changes(verdicts, ("wish",)):
        free = _newest([one.build for one in _changes(verdicts, ("wish",))], catalogue, target)
        yield say("without the wish it would be {build}", build=label(free))
    yield from _fewer_gpus(judge, catalogue)
    if target.accelerators and judge.wish.variant != "cpu":
        yield say("--variant cpu plans a CPU build, which leaves the GPU idle")


def _missing(target: Target, catalogue: Catalogue) -> Iterator[Text]:
    if target.os is None or target.machine is None or target.python is None:
        yield say("name the machine: --os, --arch, --python-version")
    if target.accelerators is None:
        yield say("name the GPU with --gpu and its driver with --driver, or ask for --variant cpu")
    elif _before_all_builds(target, catalogue):
        return
    elif target.nvidia and target.driver is None and target.cuda is None and not target.jetson:
        yield _first_the_driver(target, catalogue)
    if any(one.code is None for one in target.nvidia):
        yield say("name the GPU's compute capability with --gpu, as in --gpu 8.6")


def _first_the_driver(target: Target, catalogue: Catalogue) -> Text:
    """The driver to install: the last one of an old card, else one that runs every build of today."""
    branches = [one.last_branch for one in _maybe_served(target, catalogue) if one.last_branch]
    last = min(branches, key=numbers, default=None)
    if last is not None:
        text = "install the NVIDIA driver first: {branch} is the last branch that drives this GPU"
        return say(text, branch=last)
    newest = next(build for build in catalogue.builds() if build.cuda)
    needed = catalogue.minimum_driver(newest.cuda or "", target.driver_os) or "?"
    return say("install the NVIDIA driver first: {driver} or newer runs every current build", driver=needed)


def _jetson(target: Target, catalogue: Catalogue) -> Iterator[Text]:
    jetson = catalogue.platforms.jetson
    told = numbers((target.jetson_release or "").rpartition("R")[2])
    release = next((one for one in jetson.release if told and one.l4t == str(told[0])), None)
    if release is not None:
        text = "Jetson boards take NVIDIA's own builds: for JetPack {jetpack} from {index}"
        yield say(text, jetpack=release.jetpack, index=release.index)
    yield say("NVIDIA's page on PyTorch for Jetson: {page}", page=jetson.page)


def _least(rule: str, verdicts: Verdicts, catalogue: Catalogue, target: Target) -> Build:
    """Of the builds that one change allows, the one that asks least; then the newest release."""
    builds = [one.build for one in _changes(verdicts, (rule,))]
    if rule == "driver":
        least = min(_driver_numbers(build, catalogue, target) for build in builds)
        builds = [build for build in builds if _driver_numbers(build, catalogue, target) == least]
    return _newest(builds, catalogue, target)


def _two_changes(verdicts: Verdicts, catalogue: Catalogue, target: Target) -> Iterator[Text]:
    pairs = [(one, other) for at, one in enumerate(_CHANGEABLE) for other in _CHANGEABLE[at + 1 :]]
    for pair in pairs:
        allowed = [one.build for one in _changes(verdicts, pair)]
        if allowed:
            build = _newest(allowed, catalogue, target)
            for rule in pair:
                yield _would_allow(rule, build, target, catalogue)
            return


def _fewer_gpus(judge: Judge, catalogue: Catalogue) -> Iterator[Text]:
    """GPUs of different generations: what each would take alone."""
    codes = dict.fromkeys(one.code for one in judge.target.nvidia)
    if len(codes) < 2:
        return
    for code in codes:
        alike = tuple(one for one in judge.target.nvidia if one.code == code)
        alone = best(msgspec.structs.replace(judge.target, nvidia=alike), catalogue, judge.wish)
        if alone is not None:
            yield say("with CUDA_VISIBLE_DEVICES on {gpus} alone: {build}", gpus=names(alike), build=label(alone))
