"""EC300, EC303, EC304, EC307, EC309, EC310: whether torch is there, whole, once, and the one meant."""

import re
from collections.abc import Iterator

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.machine import Said
from envcheck.diagnosis.packages import named, package, public
from envcheck.diagnosis.resolution import another_python
from envcheck.model.facts import Environment, Package
from envcheck.model.patterns import regex
from envcheck.model.report import Evidence, Finding, Fix, Severity
from envcheck.model.text import say

_IMPORT = ("EC311", "EC313", "EC315", "EC331", "EC332", "EC333", "EC4")
_USER_SITE = regex(
    r"[\\/]AppData[\\/](?:Roaming[\\/]Python|Local[\\/]Packages)[\\/]|[\\/]\.local[\\/]lib[\\/]python3\.\d{1,2}[\\/]"
)
_MIXED = ("win127_mixed_dlls", "mkl_symbol", "nccl_mismatch", "ld_library_path_shadow", "torchvision_mismatch")
"""What is said when files of two installations meet."""


def _elsewhere(case: Case) -> Environment | None:
    """Another environment that has torch and may have been meant: not the one that envcheck itself runs in."""
    here = case.facts.python.path
    others = (one for one in case.facts.python.candidates if one.path != here and one.chosen_by != "self")
    return next((one for one in others if one.has_torch), None)


def _listed(case: Case) -> Evidence | None:
    """What shows that torch is installed somewhere, in a text that also says that it is not."""
    row = package(case, "torch") or package(case, "pytorch")
    if row is not None:
        return fact("packages[torch]", row.version or row.name, "text")
    shown = heard(case.said("torch_listed"), 1)
    if shown:
        return shown[0]
    return fact("torch.version", case.torch_version, "text") if case.torch_version else None


@check(
    "EC309",
    "other-interpreter",
    cause="other_interpreter",
    explains=("EC300", "EC615"),
    needs=("torch_installed",),
    hears=("no_module_torch", "unmet_torch", "launcher_of_other_python", "program_elsewhere"),
)
def other_interpreter(this: Check, case: Case) -> Iterator[Finding]:
    """PyTorch is installed for another Python.

    What it means: the interpreter that runs the program is not the one that torch was installed into.

    Common causes: `pip` on PATH belongs to another Python than `python`; an environment that is not activated; an
    editor or a notebook kernel that uses its own interpreter.

    What to do: run the program with the interpreter that has torch, or install torch with `python -m pip`, which
    always means the same interpreter.
    """
    other = _elsewhere(case)
    if case.torch_installed is False and other is not None:
        yield this.finding(
            say("torch is installed for another Python: {path}", path=other.path),
            evidence=(
                fact("torch.installed", "False", "interpreter", case.facts.python.path),
                fact("python.candidates", f"{other.path} torch {other.torch_version or ''}".strip(), "interpreter"),
            ),
            fixes=(
                remedies.command(case, say("Use the interpreter that has torch"), other.path),
                *remedies.reinstall_torch(case, alternative=True),
            ),
        )
        return
    outside = case.said("program_elsewhere")
    if outside and case.pasted and not case.cuda_available:
        yield this.finding(
            say(
                "{path} is not of the environment {name} that is active",
                path=outside[0][1]["path"],
                name=outside[0][1]["env"],
            ),
            evidence=heard(outside, 1),
            fixes=_same_interpreter(case),
            confidence="likely",
        )
        return
    said = case.said("no_module_torch")
    listed = _listed(case) if said and case.pasted and not case.said("build_isolation") else None
    alone = said and case.pasted and listed is None and case.torch_installed is None
    if listed is not None:
        yield this.finding(
            say("torch is installed, but not for the Python that runs the program"),
            evidence=(*heard(said, 1), listed),
            fixes=_same_interpreter(case),
            confidence="likely",
        )
        return
    if alone and not case.said("build_isolation"):  # who asks in a thread has installed it, as a rule
        kernel = _in_notebook(case)
        yield this.finding(
            say("The Python that runs the program has no torch: if it was installed, it went to another one"),
            evidence=(*heard(said, 1), *((kernel,) if kernel else ())),
            fixes=_same_interpreter(case),
            confidence="likely" if kernel else "possible",
        )
        return
    launcher = case.said("launcher_of_other_python")
    if launcher:
        yield this.finding(
            say("{program} belongs to another Python than the program it starts", program=launcher[0][1]["launcher"]),
            evidence=heard(launcher, 1),
            fixes=_same_interpreter(case),
            confidence="likely",
        )
        return
    refused = another_python(case)
    if refused is not None:
        yield this.finding(
            say("pip found no torch, though the Python shown has one: pip may serve another Python"),
            evidence=(*heard(((refused, {}),)), fact("python.version", case.facts.python.version, "text")),
            fixes=_same_interpreter(case),
            confidence="possible",
        )


def _in_notebook(case: Case) -> Evidence | None:
    """The line that shows a notebook or IPython: its kernel is an interpreter of its own."""
    for said in case.facts.messages:
        line = next((one for one in said.text.splitlines() if "ipython-input" in one or "Cell In[" in one), None)
        if line is not None:
            return fact("messages", line.strip()[:160], said.look, said.where)
    return None


def _same_interpreter(case: Case) -> tuple[Fix, ...]:
    python = remedies.python_of(case)
    return (
        remedies.command(case, say("See which interpreter runs"), python, "-c", "import sys; print(sys.executable)"),
        remedies.command(case, say("See which interpreter pip serves"), "pip", "--version"),
        *remedies.reinstall_torch(case),
    )


@check(
    "EC300",
    "torch-missing",
    cause="torch_missing",
    explains=("EC311", "EC401"),
    mutes=("EC31", "EC33"),
    needs=("torch_installed",),
    hears=("no_module_torch",),
)
def torch_missing(this: Check, case: Case) -> Iterator[Finding]:
    """PyTorch is not installed.

    What it means: the interpreter that was examined has no package `torch`.

    Common causes: a fresh environment; an installation that stopped half-way; an environment that is not the one
    that was meant (see the line with the target in the report).

    What to do: install the build that suits this machine.
    """
    said = case.said("no_module_torch")
    missing = case.torch_installed is False
    if not missing and not (said and case.torch_installed is None and _listed(case) is None):
        return
    path = case.facts.python.path
    shown = (fact("torch.installed", "False", "interpreter", path),) if missing else heard(said, 1)
    yield this.finding(
        say("torch is not installed in {path}", path=path) if path else say("torch is not installed"),
        evidence=shown,
        fixes=remedies.reinstall_torch(case),
        confidence="certain" if missing else "likely",
    )


@check(
    "EC307",
    "module-shadow",
    cause="module_shadow",
    explains=("EC304", *_IMPORT),
    needs=("shadows",),
    hears=("module_shadow",),
)
def module_shadow(this: Check, case: Case) -> Iterator[Finding]:
    """A file or folder of the same name hides torch.

    What it means: Python found something else named like torch (or like a package that torch needs) before the
    installed package, and imported that.

    Common causes: a script named `torch.py`; a folder `torch` in the working directory, such as a clone of the
    PyTorch sources; an empty folder that an uninstallation left in site-packages.

    What to do: rename or remove it, together with its `__pycache__`, or run from another directory.
    """
    shadows = case.facts.python.shadows or ()
    hides_torch = [path for path in shadows if re.split(r"[\\/]", path.rstrip("\\/"))[-1] in ("torch", "torch.py")]
    said = case.said("module_shadow")
    if shadows:
        broken = case.torch_imported is False
        severity: Severity = "error" if hides_torch or broken else "warning"
        path = (hides_torch or list(shadows))[0]
        yield this.finding(
            say("{path} is imported in place of the installed package", path=path),
            evidence=(*(fact("python.shadows", one, "interpreter") for one in shadows[:3]), *heard(said, 1)),
            fixes=(remedies.step(say("Rename or remove {path}", path=path)),),
            severity=severity,
        )
    elif said and said[0][1].get("module"):
        module = said[0][1]["module"]
        file = said[0][1].get("file", f"{module}.py")
        yield this.finding(
            say(
                "{file} hides the module {module} of the standard library, which torch imports",
                file=file,
                module=module,
            ),
            evidence=heard(said, 1),
            fixes=(
                remedies.step(say("Rename or remove {path}", path=file))
                if "site-packages" not in file
                else remedies.step(
                    say("Run from another directory, and leave {path} out of PYTHONPATH", path=_folder(file))
                ),
            ),
            confidence="likely",
        )
    elif said:
        yield this.finding(
            say("Something else named torch is imported in place of the package"),
            why=say("The module torch that was imported lacks what every torch has"),
            evidence=heard(said, 1),
            fixes=(
                remedies.command(
                    case,
                    say("See what is imported, then rename it"),
                    *(remedies.python_of(case), "-c", "import torch; print(torch.__path__)"),
                ),
                *remedies.reinstall_torch(case, alternative=True),
            ),
            confidence="likely",
        )


def _folder(file: str) -> str:
    return re.split(r"[\\/][^\\/]*$", file)[0]


def _below(path: str | None, folder: str | None) -> bool:
    if not path or not folder:
        return False
    plain, root = path.replace("\\", "/").casefold(), folder.replace("\\", "/").rstrip("/").casefold()
    return plain.startswith(root + "/")


def _user_site_words(case: Case) -> Said:
    """Complaints about mixed files whose paths lie in the user's own site-packages."""
    return tuple(
        (message, groups) for slug in _MIXED for message, groups in case.said(slug) if _mixes_in_user_site(message.text)
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
    explains=("EC303", "EC305", "EC312", "EC318", "EC319", *_IMPORT),
    needs=("build_shown",),
    hears=("win127_mixed_dlls", "mkl_symbol", "nccl_mismatch", "ld_library_path_shadow", "torchvision_mismatch"),
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
    in_user_site = _below(torch.file, python.user_site)
    inside = [one for one in named(case, "torch") if one.location and not _below(one.location + "/x", python.user_site)]
    words, suspected = _user_site_words(case), False
    if in_user_site and (inside or python.kind in ("conda", "embedded") or case.pasted):
        severity: Severity = "error" if case.torch_imported is False else "info"
        severity = "warning" if severity == "info" and (inside or case.pasted) else severity
        shown: tuple[Evidence, ...] = (fact("torch.file", torch.file, torch.look), *heard(words, 1))
    elif words:
        severity, shown = "error", heard(words, 1)
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
    works = case.torch_imported is True and not case.said("torchvision_mismatch")
    remove_conda = remedies.command(case, say("Remove conda's copy"), "conda", "remove", "-y", "--force", "pytorch")
    yield this.finding(
        say("torch is installed twice in one environment"),
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
    said = case.said("torch_partial")
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
        confidence="certain" if broken else "likely",
    )


CHECKS = (
    other_interpreter,
    torch_missing,
    module_shadow,
    user_site_shadow,
    torch_twice,
    torch_incomplete,
)
