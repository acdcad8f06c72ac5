"""EC303, EC304, EC310: whether torch is installed whole, and once."""

import re
from collections.abc import Iterator

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.machine import Said
from envcheck.diagnosis.packages import named, package, public
from envcheck.model.facts import Package
from envcheck.model.patterns import regex
from envcheck.model.report import Evidence, Finding, Severity
from envcheck.model.text import say

_IMPORT = ("EC311", "EC313", "EC315", "EC331", "EC332", "EC333", "EC4")
_USER_SITE = regex(
    r"[\\/]AppData[\\/](?:Roaming[\\/]Python|Local[\\/]Packages)[\\/]|[\\/]\.local[\\/]lib[\\/]python3\.\d{1,2}[\\/]"
)
_MIXED = (
    "win127_mixed_dlls",
    "mkl_symbol",
    "nccl_mismatch",
    "ld_library_path_shadow",
    "torchvision_mismatch",
    "already_satisfied",
)
"""What is said when files of two installations meet."""


def _below(path: str | None, folder: str | None) -> bool:
    if not path or not folder:
        return False
    plain, root = path.replace("\\", "/").casefold(), folder.replace("\\", "/").rstrip("/").casefold()
    return plain.startswith(root + "/")


def _user_site_words(case: Case) -> Said:
    """Complaints about mixed files whose paths lie in the user's site-packages; a container brings its own torch."""
    return tuple(
        (message, groups)
        for slug in _MIXED
        for message, groups in case.said(slug)
        if _mixes_in_user_site(message.text) or (case.in_container and _USER_SITE.search(message.text))
    )


def _better_without(case: Case) -> Said:
    """A command that leaves the user's packages out, where CUDA worked in one place and not in the other."""
    answers = {one.value for one in case.facts.sightings.get("torch.cuda_available", ())}
    failed = "False" in answers or any(one.kind == "error" for one in case.facts.messages)
    versions = {public(one.value) for one in case.facts.sightings.get("torch.version", ())}
    built = case.facts.sightings.get("torch.cuda", ())
    differs = ("True" in answers and failed) or len(versions) > 1 or len(built) > 1
    return case.said("without_user_site") if case.pasted and differs else ()


def _for_another_torch(case: Case) -> bool:
    """Whether a package outside of the user's folder was built for another torch: the one that is hidden."""
    return any(
        not _USER_SITE.search(message.text.rpartition("undefined symbol")[0].rpartition("\n")[2])
        for message, _ in case.said("extension_mismatch")
    )


def _mixes_in_user_site(text: str) -> bool:
    """Whether paths of the user's site-packages stand there, and not only those: an environment's, or Windows' own."""
    places = re.findall(r"[^\s\"']{0,200}(?:site|dist)-packages", text)
    users = [place for place in places if _USER_SITE.search(place + "/")]
    return bool(users) and (len(users) < len(places) or any("Roaming" in place for place in users))


@check(
    "EC310",
    "user-site-shadow",
    severity="warning",
    cause="user_site_shadow",
    explains=(
        "EC206",
        "EC211",
        "EC212",
        "EC301",
        "EC303",
        "EC305",
        "EC309",
        "EC312",
        "EC318",
        "EC319",
        "EC344",
        "EC349",
        *_IMPORT,
    ),
    needs=("build_shown",),
    hears=(*_MIXED, "without_user_site", "satisfied_in_user_site"),
)
def user_site_shadow(this: Check, case: Case) -> Iterator[Finding]:
    """PyTorch is taken from the user's own packages, not from the environment.

    What it means: packages that were installed with `--user` are on the path of every interpreter of that version,
    also of conda environments, and come before the environment's own.

    Common causes: an earlier `pip install --user torch`, or a pip that chose the user's folder by itself because
    the system's was not writable.

    What to do: remove that torch, or keep the user's folder out with `PYTHONNOUSERSITE=1`.
    """
    python, torch = case.facts.python, case.facts.torch
    wheel = package(case, "torch")  # conda lists what pip put into its environment, and nothing of the user's
    of_conda = package(case, "pytorch") is not None or (wheel is not None and wheel.installer == "pip")
    of_conda = of_conda or bool(case.said("python_of_environment"))
    beside_conda = case.pasted and of_conda and _USER_SITE.search(f"{torch.file}/")
    in_user_site = _below(torch.file, python.user_site) or bool(beside_conda)
    inside = [one for one in named(case, "torch") if one.location and not _below(one.location + "/x", python.user_site)]
    words, suspected = _user_site_words(case) or _better_without(case), False
    if in_user_site and (inside or python.kind in ("conda", "embedded") or case.pasted):
        complaint = any(case.said(slug) for slug in ("no_kernel_image", "driver_too_old", "not_compiled_with_cuda"))
        strange = case.pasted and _for_another_torch(case)
        failed = case.torch_imported is False or strange or bool(beside_conda and complaint)
        severity: Severity = "error" if failed else "info"
        severity = "warning" if severity == "info" and (inside or case.pasted) else severity
        shown: tuple[Evidence, ...] = (fact("torch.file", torch.file, torch.look), *heard(words, 1))
    elif words:
        severity, shown = "error", heard(words, 1)
    elif package(case, "pytorch") is not None and case.said("satisfied_in_user_site") and not case.cuda_available:
        severity, shown = "error", heard(case.said("satisfied_in_user_site"), 1)
    elif case.said("user_site_on_path") and case.pasted and not case.cuda_available:  # who prints the path, suspects it
        severity, shown = "error", heard(case.said("user_site_on_path"), 1)
        suspected = case.build_kind != "cpu"
    else:
        return
    yield this.finding(
        say("torch comes from the user's own site-packages, not from the environment"),
        evidence=shown,
        fixes=(
            remedies.command(case, say("Remove that torch"), *remedies.pip(case, "uninstall", "-y", "torch")),
            remedies.set_variable(case, "PYTHONNOUSERSITE", "1", alternative=True),
        ),
        severity=severity,
        confidence="certain" if in_user_site and inside else "possible" if suspected else "likely",
    )


def _twice(case: Case) -> tuple[Package, ...]:
    """Two installations of torch that are on one path."""
    wheels = named(case, "torch")
    places = {one.location for one in wheels if one.location}
    versions = {public(one.version) for one in wheels if one.version}
    if len(wheels) > 1 and (len(places) > 1 or (len(versions) > 1 and not case.pasted)):
        return wheels
    conda = package(case, "pytorch")
    wheel = next((one for one in wheels if one.installer in ("pip", "uv")), None)
    if conda is None or wheel is None or not (conda.version and wheel.version):
        return ()
    differ = public(conda.version) != public(wheel.version)
    return (conda, wheel) if differ or not case.pasted else ()


@check(
    "EC303",
    "torch-twice",
    cause="torch_twice",
    explains=("EC304", "EC312", "EC317", "EC318", "EC320", *_IMPORT),
    needs=("packages",),
)
def torch_twice(this: Check, case: Case) -> Iterator[Finding]:
    """PyTorch is installed twice.

    What it means: two installations share one environment, by conda and by pip or at two places on the path. Their
    files overwrite or hide each other, and libraries of one meet libraries of the other.

    Common causes: `pip install` of a package that depends on torch inside a conda environment; a second copy in the
    user's own site-packages or the system's.

    What to do: remove both and install once; in a conda environment it is safest to make a new one.
    """
    both = _twice(case)
    if not both:
        return
    mixed = case.said("win127_mixed_dlls")
    works = case.torch_imported is True and not case.said("torchvision_mismatch")
    remove_conda = remedies.command(case, say("Remove conda's copy"), "conda", "remove", "-y", "--force", "pytorch")
    yield this.finding(
        say("torch is installed twice in one environment"),
        cause="win127_mixed_dlls" if mixed else None,
        evidence=tuple(
            fact(
                f"packages[{one.name}]",
                " ".join(word for word in (one.name, one.version, one.build) if word),
                "text" if case.pasted else "interpreter",
                one.location or one.installer,
            )
            for one in both
        ),
        fixes=(
            remedies.command(case, say("Remove pip's copy"), *remedies.pip(case, "uninstall", "-y", "torch")),
            *((remove_conda,) if any(one.name == "pytorch" for one in both) else ()),
            *remedies.reinstall_torch(case),
        ),
        severity="warning" if works else "error",
        confidence="likely" if works else "certain",
    )


_PARTS = frozenset(("nn", "autograd", "storage"))
"""Parts of torch that every installed one has."""


@check(
    "EC304",
    "torch-incomplete",
    cause="torch_incomplete",
    explains=("EC320", *_IMPORT),
    needs=("torch_installed",),
    hears=("torch_partial",),
)
def torch_incomplete(this: Check, case: Case) -> Iterator[Finding]:
    """Files of torch are missing or cut short.

    What it means: the package is registered as installed, but not all of its files are there or whole.

    Common causes: an installation that was interrupted or ran out of disk space; a truncated download that stayed
    in the cache; files that another package or an antivirus program removed.

    What to do: remove torch and install it again without pip's cache.
    """
    broken = case.facts.torch.broken_files or ()
    # A package without its own modules is rather a folder of that name, unless its files are seen in the traceback.
    said = tuple(
        one
        for one in case.said("torch_partial")
        if not (case.pasted and one[1].get("missing") in _PARTS and "-packages" not in one[0].text)
    )
    if not broken and not said:
        return
    works = case.torch_imported is True
    yield this.finding(
        say("The installation of torch is not complete"),
        evidence=(*(fact("torch.broken_files", one, "interpreter") for one in broken[:3]), *heard(said, 1)),
        fixes=(
            remedies.command(case, say("Remove torch"), *remedies.pip(case, "uninstall", "-y", "torch")),
            remedies.command(case, say("Empty the cache of pip"), *remedies.pip(case, "cache", "purge")),
            *remedies.reinstall_torch(case),
        ),
        severity="info" if works and not said else "error",
        # Without _C torch is just as often a folder of sources in the working directory.
        confidence="certain" if broken else "possible" if said[0][1].get("missing") == "_C" else "likely",
    )


CHECKS = (
    user_site_shadow,
    torch_twice,
    torch_incomplete,
)
