"""EC305, EC306, EC308, EC329, EC345, EC347 to EC349: torch beside torchvision, torchaudio, NumPy and its own age."""

from collections.abc import Iterator

from envcheck.catalogue.software import limit
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.packages import local, package, pins, prerelease, public, same_version
from envcheck.diagnosis.torch_build import has_cuda
from envcheck.model.facts import Package
from envcheck.model.report import Confidence, Evidence, Finding, Fix, Severity
from envcheck.model.text import Text, say
from envcheck.model.versions import at_least, numbers

FAMILY = ("torchvision", "torchaudio")
_RELEASES_BEHIND = 10
"""About two years: older releases get no fixes, and new GPUs are not in them."""

_Mismatch = tuple[str, Confidence]


def _pinned(case: Case, member: Package) -> _Mismatch | None:
    """What `member` itself requires of torch, when that is not what is installed; `("", ...)` when it is."""
    have = package(case, "torch")
    version = (have.version if have else None) or case.torch_version
    for pin in pins(case, member):
        if pin.name == "torch" and version:
            kept = same_version(pin.wanted, version)
            return ("", "certain") if kept else (pin.wanted, "certain")
    return None


def _expected(case: Case, member: Package) -> _Mismatch | None:
    """The release of `member` that belongs to this torch, when another one is installed."""
    torch = case.torch_version
    if torch is None or member.version is None:
        return None
    if prerelease(torch) or prerelease(member.version):
        both = ("dev" in torch) == ("dev" in member.version)
        return None if both else ("dev" if "dev" in torch else public(torch), "likely")
    for build in case.catalogue.builds():
        wanted = build.torchvision if member.name == "torchvision" else build.torchaudio
        if wanted and same_version(build.torch, torch):
            fits = same_version(wanted, member.version) or _belongs(case, member, torch)
            return None if fits else (wanted, "certain")
    return None


def _belongs(case: Case, member: Package, torch: str) -> bool:
    """Whether a release of `member` that the catalogue does not list, 0.11.1, came out for this torch: after 0.11.0."""
    mine = numbers(member.version or "")
    vision = member.name == "torchvision"
    rows = (
        (numbers((one.torchvision if vision else one.torchaudio) or ""), one.torch) for one in case.catalogue.builds()
    )
    before = [(made, release) for made, release in rows if made[:2] == mine[:2] and made <= mine]
    return bool(before) and same_version(max(before)[1], torch)


def _other_variant(case: Case, member: Package) -> _Mismatch | None:
    """The variant of torch, when `member` was built for another one."""
    torch = package(case, "torch")
    mine = local(torch.version if torch else None) or local(case.torch_version) or (case.facts.torch.variant or "")
    its = local(member.version)
    if its and mine and its != mine and not {its, mine} <= {"cpu", "mps"}:
        return mine, "certain"
    if its:
        return None
    return _conda_variant(case, member) or _built_for_default(case, member, local(torch.version if torch else None))


def _built_for_default(case: Case, member: Package, mine: str) -> _Mismatch | None:
    """`member` came from the default index, whose Linux wheels are made for one CUDA; torch is of another variant."""
    host = case.facts.host
    if member.installer not in ("pip", "uv") or (host.os, host.machine) != ("linux", "x86_64"):
        return None
    if mine == "cpu":
        return "cpu", "likely"
    rows = (one for one in case.builds_here if one.index is None and one.cuda)
    default = next((one for one in rows if same_version(one.torch, case.torch_version or "")), None)
    if default is None or not mine.startswith("cu"):
        return None
    return (mine, "likely") if numbers(default.cuda or "")[:1] != numbers(mine[2:-1])[:1] else None


def _conda_variant(case: Case, member: Package) -> _Mismatch | None:
    """Of two conda packages one is a CPU build and the other is not."""
    torch = package(case, "pytorch")
    if torch is None or not (torch.build and member.build):
        return None
    if "cuda" in torch.build and "cpu" in member.build:
        return "cuda", "certain"
    return ("cpu", "certain") if "cpu" in torch.build and "cu" in member.build.replace("cpu", "") else None


def _mismatch(case: Case, member: Package) -> tuple[str, _Mismatch] | None:
    """Why `member` does not fit: `pin` (with the torch that it wants), `release` or `variant` (with what would)."""
    pinned = _pinned(case, member)
    found = pinned if pinned is not None else _expected(case, member)
    if found is not None and found[0]:
        return "pin" if pinned else "release", found
    other = _other_variant(case, member)
    return ("variant", other) if other else None


def _why(kind: str, name: str, wanted: str) -> Text:
    if kind == "variant":
        return say("torch is the {variant} variant, {name} is another", variant=wanted, name=name)
    if kind == "pin":
        return say("This {name} was made for torch {torch}", name=name, torch=wanted)
    return say("The {name} that belongs to this torch is {wanted}", name=name, wanted=wanted)


def _put_right(case: Case, name: str) -> tuple[Fix, ...]:
    """Install the `name` that belongs to this torch; the whole family anew as another way."""
    version, variant = case.torch_version or "", case.facts.torch.variant or local(case.torch_version)
    rows = (one for one in case.builds_here if one.variant == variant and same_version(one.torch, version))
    build = next(rows, None)
    wanted = (build.torchvision if name == "torchvision" else build.torchaudio) if build else None
    if build is None or wanted is None or case.pasted:
        return remedies.reinstall_torch(case)
    where = ("--index-url", build.index) if build.index else ()
    argv = remedies.pip(case, "install", f"{name}=={wanted}{build.local}", *where)
    first = remedies.command(case, say("Install the {name} that belongs to this torch", name=name), *argv)
    return (first, *remedies.reinstall_torch(case, alternative=True))


@check(
    "EC305",
    "family-mismatch",
    cause="torchvision_mismatch",
    explains=("EC331", "EC348"),
    needs=("packages",),
    hears=("torchvision_mismatch",),
)
def family_mismatch(this: Check, case: Case) -> Iterator[Finding]:
    """The installed torchvision or torchaudio was not built for this torch.

    What it means: torchvision and torchaudio hold compiled code for exactly one release of torch and one variant of
    it. With another one their operators are missing, or the import fails.

    Common causes: torch was upgraded, or installed from another index, and its companions were left as they were;
    another package pulled in a different torch; a nightly build beside a stable one.

    What to do: install all three in one command from one index.
    """
    said = case.said("torchvision_mismatch")
    found = [(row, _mismatch(case, row)) for name in FAMILY if (row := package(case, name))]
    wrong = [(row, why) for row, why in found if why is not None]
    torch = fact("torch.version", case.torch_version or "?", "text" if case.pasted else "interpreter")
    for row, (kind, (wanted, confidence)) in wrong[:1]:
        title = (
            say("{name} {version} was not built for this torch", name=row.name, version=row.version)
            if kind == "variant"
            else say(
                "{name} {version} does not belong to torch {torch}",
                name=row.name,
                version=row.version,
                torch=case.torch_version,
            )
        )
        why = _why(kind, row.name, wanted)
        severity: Severity = "error" if said or confidence == "certain" else "warning"
        yield this.finding(
            title,
            why=why,
            evidence=(
                torch,
                *(fact(f"packages[{one.name}]", one.version, "interpreter") for one, _ in wrong),
                *heard(said, 1),
            ),
            fixes=_put_right(case, row.name),
            severity=severity,
            confidence="certain" if said else confidence,
        )
        return
    if said:
        yield this.finding(
            say("torchvision or torchaudio does not fit the installed torch"),
            why=say("Its compiled code was made for another release or another variant of torch"),
            evidence=heard(said, 2),
            fixes=remedies.reinstall_torch(case),
            confidence="certain",
        )


@check("EC306", "nightly-build", severity="info", needs=("torch_version",))
def nightly_build(this: Check, case: Case) -> Iterator[Finding]:
    """This torch is a nightly build.

    What it means: nightly builds are made every day, are not tested as releases are, and vanish from the index
    after some weeks, so that the environment cannot be made again.

    Common causes: `--pre`, or an index address with `nightly` in it, often to get support for a new GPU early.

    What to do: nothing, when the nightly is meant. Otherwise install the newest release.
    """
    version = case.torch_version or ""
    if ".dev" in version and not prerelease(case.catalogue.newest_torch()):
        yield this.finding(
            say("torch {version} is a nightly build", version=version),
            evidence=(fact("torch.version", version, case.facts.torch.look),),
        )


@check("EC329", "old-release", severity="info", needs=("torch_version",))
def old_release(this: Check, case: Case) -> Iterator[Finding]:
    """This torch is an old release.

    What it means: only the newest releases get corrections, also of security faults, and know new GPUs and new
    versions of Python.

    Common causes: a project that pins an old version; an environment that was made years ago.

    What to do: nothing, when the project needs this release. Otherwise install the newest one that suits the
    machine.
    """
    version = case.torch_version
    if version is None or prerelease(version):
        return
    newest = case.catalogue.newest_torch()
    releases = {numbers(release)[:2] for release in case.catalogue.torch_releases()}
    behind = sum(release > numbers(version)[:2] for release in releases)
    if behind >= _RELEASES_BEHIND:
        yield this.finding(
            say("torch {version} is old: {newest} is the newest release", version=version, newest=newest),
            evidence=(fact("torch.version", version, case.facts.torch.look),),
        )


def _numpy_rows(case: Case) -> tuple[Evidence, ...]:
    """NumPy 2 beside a torch from before it."""
    numpy, torch = package(case, "numpy"), case.torch_version
    if numpy is None or numpy.version is None or torch is None or not at_least(numpy.version, limit("numpy2")):
        return ()
    if at_least(torch, limit("numpy2_torch")):
        return ()
    look = "text" if case.pasted else "interpreter"
    return (fact("packages[numpy]", numpy.version, look), fact("torch.version", torch, case.facts.torch.look))


@check(
    "EC308",
    "numpy-2-abi",
    cause="numpy2_abi",
    explains=("EC311", "EC347"),
    needs=("packages",),
    hears=("numpy2_abi", "numpy_not_available"),
)
def numpy2_abi(this: Check, case: Case) -> Iterator[Finding]:
    """A compiled module was made for NumPy 1 and meets NumPy 2.

    What it means: modules compiled against NumPy 1 cannot use NumPy 2. With an old torch, `torch.from_numpy` and
    `.numpy()` fail; with another module, its import does.

    Common causes: an old torch or an old extension in an environment where NumPy was upgraded to 2.

    What to do: keep NumPy below 2, or upgrade torch and the module that is named in the message.
    """
    rows = _numpy_rows(case)
    said = case.said("numpy2_abi")
    numpy = package(case, "numpy")
    new = numpy is not None and case.torch_version is None and at_least(numpy.version or "0", limit("numpy2"))
    alone = case.pasted and (numpy is None or new)  # who asks in a thread has it, as a rule
    unavailable = case.said("numpy_not_available") if rows or alone else ()
    if not rows and not said and not unavailable:
        return
    works = case.torch_imported is True and not case.pasted
    fixes = (
        remedies.command(
            case,
            say("Keep NumPy below {version}", version=limit("numpy2")),
            *remedies.pip(case, "install", f"numpy<{limit('numpy2').partition('.')[0]}"),
        ),
        *(remedies.reinstall_torch(case, alternative=True) if rows else ()),
    )
    yield this.finding(
        say("A module that was compiled for NumPy 1 meets NumPy 2"),
        why=say("torch {version} was built for NumPy 1", version=case.torch_version) if rows else None,
        evidence=(*rows, *heard(said or unavailable, 1)),
        fixes=fixes,
        severity="warning" if works else "error",
        confidence="certain" if said or (rows and unavailable) else "likely" if rows or new else "possible",
    )


@check(
    "EC347", "numpy-missing", severity="info", needs=("torch_imported",), hears=("numpy_missing", "numpy_not_available")
)
def numpy_missing(this: Check, case: Case) -> Iterator[Finding]:
    """NumPy is not installed.

    What it means: torch works without NumPy, but `torch.from_numpy`, `.numpy()` and many data loaders do not.

    Common causes: torch was installed with `--no-deps`, or from an index that does not bring NumPy along.

    What to do: install NumPy if the program uses it.
    """
    said = case.said("numpy_missing") or case.said("numpy_not_available")
    if said and package(case, "numpy") is None:
        yield this.finding(
            say("NumPy is not installed, so torch cannot exchange arrays with it"),
            evidence=heard(said, 1),
            fixes=(remedies.command(case, say("Install NumPy"), *remedies.pip(case, "install", "numpy")),),
        )


@check("EC345", "extension-before-torch", cause="extension_before_torch", needs=("anything_said",))
def extension_before_torch(this: Check, case: Case) -> Iterator[Finding]:
    """An extension was imported before torch.

    What it means: extensions find the libraries of torch only when torch is already loaded in the process.

    Common causes: the order of the imports in a script; an import that a formatter sorted.

    What to do: `import torch` first. When that does not help, the extension was built for another torch: install
    the wheel of it that fits.
    """
    said = case.said("extension_before_torch")
    if said and case.torch_imported is not False:
        yield this.finding(
            say("An extension of torch was imported before torch itself"),
            evidence=heard(said, 1),
            fixes=(remedies.step(say("Put import torch before the import of the extension")),),
            confidence="likely",
        )


@check("EC349", "extension-of-another-torch", cause="torchvision_mismatch", needs=("anything_said",))
def extension_of_another_torch(this: Check, case: Case) -> Iterator[Finding]:
    """A compiled package was built for another release of torch.

    What it means: compiled packages call functions inside torch by names that change from release to release. This
    one asks for a name that the installed torch does not have.

    Common causes: torch was upgraded after the package had been built or installed; a wheel for another release of
    torch, another CUDA or the other C++ ABI.

    What to do: install the wheel of that package that was made for this release, or build it again with this torch.
    """
    warned = case.said("xformers_of_other_torch") if has_cuda(case) is not False else ()  # a build without CUDA is more
    said = case.said("extension_mismatch") or warned
    if not said or case.said("torchvision_mismatch"):
        return
    name = said[0][1]["package"]
    release = case.torch_version
    yield this.finding(
        say("{name} was built for another release of torch than the installed {release}", name=name, release=release)
        if release
        else say("{name} was built for another release of torch than the installed one", name=name),
        evidence=heard(said, 1),
        fixes=(
            remedies.step(say("Install the wheel of {name} that is made for this release of torch", name=name)),
            remedies.step(say("Build {name} again, with this torch installed", name=name), alternative=True),
        ),
        severity="warning" if warned else "error",
        confidence="likely",
    )


@check("EC348", "torch-pins-unmet", severity="info", needs=("packages",))
def pins_unmet(this: Check, case: Case) -> Iterator[Finding]:
    """Packages that torch pins exactly have other versions.

    What it means: this build of torch was made and tested with exact versions of the NVIDIA packages and of triton.
    Others are installed. Often that works, and it is the first thing to put right when it does not.

    Common causes: another package upgraded one of them; a constraint file.

    What to do: nothing while torch works. Otherwise install torch again, which puts the pinned versions in place.
    """
    torch = package(case, "torch")
    held = ((pin, pin.installed.version) for pin in (pins(case, torch) if torch else ()) if pin.installed)
    wrong = [(pin, have) for pin, have in held if have and not same_version(pin.wanted, have)]
    if wrong:
        yield this.finding(
            say("{name} is not the version that this torch pins", name=wrong[0][0].name),
            evidence=tuple(
                fact(f"packages[{pin.name}]", f"{have}, pinned {pin.wanted}", "interpreter") for pin, have in wrong[:5]
            ),
        )


CHECKS = (
    family_mismatch,
    numpy2_abi,
    numpy_missing,
    extension_before_torch,
    extension_of_another_torch,
    pins_unmet,
    nightly_build,
    old_release,
)
