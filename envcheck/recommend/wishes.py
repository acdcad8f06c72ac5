"""Wishes: read, checked against what exists, and asked of builds."""

from collections.abc import Callable, Iterable

from envcheck.catalogue import Catalogue
from envcheck.model.errors import EnvcheckError
from envcheck.model.patterns import regex
from envcheck.model.plan import Build, Wish
from envcheck.model.text import Text, say

Meets = Callable[[Build], bool]
_NAMES = ("torch", "torchvision", "torchaudio")
_VERSION = regex(r"\d+(\.\d+){0,2}(\.\*)?")


def meets(wish: Wish) -> Meets:
    """The question whether a build is what `wish` asks for.

    Raises:
        EnvcheckError: a specifier cannot be read, or names something else than torch, torchvision, torchaudio.
    """
    tests: list[Meets] = []
    if wish.variant:
        tests.append(lambda build: build.variant == wish.variant)
    if wish.cuda:
        tests.append(lambda build: build.cuda == wish.cuda)
    if wish.torch:
        tests.append(_version_test("torch", wish.torch, "--torch", pre=wish.pre))
    tests += [_requirement_test(text, pre=wish.pre) for text in wish.requirements]
    return lambda build: all(test(build) for test in tests)


def check(wish: Wish, catalogue: Catalogue) -> None:
    """Refuse a wish that no build could meet.

    Raises:
        EnvcheckError: no such variant, toolkit or release, with the nearest that exists.
    """
    builds = catalogue.conda_builds() if wish.conda else catalogue.builds()
    variants = dict.fromkeys(build.variant for build in builds)
    toolkits = dict.fromkeys(build.cuda for build in builds if build.cuda)
    if wish.variant and wish.variant not in variants:
        what = say("there is no variant {name}", name=wish.variant)
        raise EnvcheckError(what, where="--variant", mend=_nearest(wish.variant, variants))
    if wish.cuda and wish.cuda not in toolkits:
        what = say("no build was made with CUDA {version}", version=wish.cuda)
        raise EnvcheckError(what, where="--cuda", mend=_nearest(wish.cuda, toolkits))
    asked = meets(wish)
    if not any(asked(build) for build in builds):
        releases = tuple(dict.fromkeys(build.torch for build in builds))
        mend = say("known are releases {first} to {last}", first=releases[-1], last=releases[0])
        raise EnvcheckError(say("no known build is: {wish}", wish=spoken(wish)), mend=mend)


def spoken(wish: Wish) -> str:
    """The wish in the words of the command line."""
    words = [f"torch {wish.torch}" if wish.torch else "", f"CUDA {wish.cuda}" if wish.cuda else "", wish.variant or ""]
    return ", ".join([word for word in words if word] + list(wish.requirements))


def _version_test(name: str, text: str, where: str, *, pre: bool) -> Meets:
    """`2.6` stands for every 2.6.x, as people say it; all else is a specifier of `packaging`."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    bare = _VERSION.fullmatch(text.strip())
    try:
        specifier = SpecifierSet(f"=={text.strip().removesuffix('.*')}.*" if bare else text)
    except InvalidSpecifier:
        mend = say("give a version (2.6) or a specifier (>=2.4,<2.9)")
        raise EnvcheckError(say("cannot read the version {text}", text=text), where=where, mend=mend) from None

    def test(build: Build) -> bool:
        version = getattr(build, name)
        return version is not None and specifier.contains(f"{version}{build.local}", prereleases=pre or None)

    return test


def _requirement_test(text: str, *, pre: bool) -> Meets:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        mend = say("write it like torch>=2.4,<2.9")
        raise EnvcheckError(say("cannot read the requirement {text}", text=text), mend=mend) from None
    name = canonicalize_name(requirement.name)
    if name not in _NAMES or requirement.url or requirement.marker or requirement.extras:
        mend = say("only versions of torch, torchvision and torchaudio are planned here")
        raise EnvcheckError(say("cannot plan for the requirement {text}", text=text), mend=mend)
    return _version_test(name, str(requirement.specifier), text, pre=pre)


def _nearest(word: str, known: Iterable[str]) -> Text:
    from difflib import get_close_matches

    names = tuple(known)
    close = get_close_matches(word, names, n=1, cutoff=0.5)
    return say("did you mean {name}?", name=close[0]) if close else say("known are: {names}", names=", ".join(names))
