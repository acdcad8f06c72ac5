"""EC300, EC307, EC309: whether a torch is found, and whether it is the one that was meant."""

import re
from collections.abc import Iterator

from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.packages import package
from envcheck.diagnosis.resolution import another_python
from envcheck.model.facts import Environment
from envcheck.model.report import Evidence, Finding, Fix, Severity
from envcheck.model.text import say

_IMPORT = ("EC311", "EC313", "EC315", "EC331", "EC332", "EC333", "EC4")


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
    hears=(
        "no_module_torch",
        "unmet_torch",
        "launcher_of_other_python",
        "module_missing",
        "program_elsewhere",
        "not_compiled_with_cuda",
    ),
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
    gone = case.said("cuda_build_uninstalled") or case.said("cuda_build_replaced")
    works = case.build_kind == "cuda" or case.cuda_available
    apart = case.said("not_compiled_with_cuda") if case.pasted and works and not gone else ()
    if apart:
        yield this.finding(
            say("pip installed a torch with CUDA, and the program runs one without: pip serves another Python")
            if case.torch_version
            else say("CUDA works in one Python, and the program runs another"),
            evidence=(
                *heard(apart, 1),
                fact("torch.version", case.torch_version, case.facts.torch.look)
                if case.torch_version
                else fact("torch.cuda_available", "True", case.facts.torch.look),
            ),
            fixes=_same_interpreter(case),
            confidence="likely",
        )
        return
    yield from _of_another_python(this, case)


def _of_another_python(this: Check, case: Case) -> Iterator[Finding]:
    """What pip and the program show of two Pythons where torch itself is not missed."""
    launcher = case.said("launcher_of_other_python")
    if launcher:
        yield this.finding(
            say("{program} belongs to another Python than the program it starts", program=launcher[0][1]["launcher"]),
            evidence=heard(launcher, 1),
            fixes=_same_interpreter(case),
            confidence="likely",
        )
        return
    missed = _installed_elsewhere(case)
    if missed is not None:
        name, shown = missed
        yield this.finding(
            say("pip installed {name}, and the Python that runs the program does not have it", name=name),
            evidence=shown,
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


def _installed_elsewhere(case: Case) -> tuple[str, tuple[Evidence, ...]] | None:
    """A package that pip says is installed, before a program that does not find its module."""
    for message, groups in case.said("module_missing") if case.pasted else ():
        word = groups["missing"].replace("_", "[-_.]")
        line = re.compile(
            rf"(?i)Successfully installed [^\n]{{0,2000}}?\b{word}-\d|(?m:^)Requirement already satisfied: {word}\b"
        )
        before = case.facts.messages[: case.facts.messages.index(message) + 1]
        told = next(((said, found) for said in before if (found := line.search(said.text))), None)
        if told is not None:
            said, found = told
            return groups["missing"], (
                fact("messages", found[0][:160], said.look, said.where),
                *heard(((message, groups),), 1),
            )
    return None


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
            # An extension that is missing from a source tree may not have been built, for want of CUDA.
            confidence="possible" if "missing" in said[0][1] and "torch" not in said[0][1]["missing"] else "likely",
        )


def _folder(file: str) -> str:
    return re.split(r"[\\/][^\\/]*$", file)[0]


CHECKS = (other_interpreter, torch_missing, module_shadow)
