"""Fixes that make an environment: with another Python, or beside a Python that belongs to the system. Pure."""

from collections.abc import Iterable, Sequence

import msgspec

from envcheck.catalogue.remedies import distribution, page
from envcheck.catalogue.software import limit
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.model.plan import Build
from envcheck.model.report import Fix
from envcheck.model.shell import join
from envcheck.model.text import Text, say
from envcheck.model.versions import at_least, numbers

_FOLDER, _NAME = ".venv", "torch"


def best_python(builds: Sequence[Build]) -> str | None:
    """An ordinary Python that `builds` serve: the newest but one, which other packages serve as well."""
    pythons = sorted({name for build in builds for name in build.pythons if not name.endswith("t")}, key=numbers)
    return pythons[-2] if len(pythons) > 2 else pythons[-1] if pythons else None


def of_newest_release(builds: Sequence[Build]) -> list[Build]:
    """Those of the newest release among them."""
    top = max((numbers(build.torch) for build in builds), default=())
    return [build for build in builds if numbers(build.torch) == top]


def other_python(case: Case, builds: Sequence[Build], *, torch: str | None = None) -> tuple[Fix, ...]:
    """An environment with a Python that `builds` serve, and torch in it (that release, where one is wanted)."""
    best = best_python(builds)
    if best is None:
        return remedies.reinstall_torch(case)
    made = new_environment(case, best)
    if made[-1].argv[1:2] == ("create",):
        activated = remedies.command(case, say("Activate it"), "conda", "activate", _NAME)
        return (*made, activated, _torch_into(case, torch=torch))
    return (*made, _torch_into(case, python_in(case), torch=torch))


def new_environment(case: Case, version: str) -> tuple[Fix, ...]:
    """Make an environment with Python `version`, in the way this machine makes environments."""
    what = say("Make an environment with Python {version}", version=version)
    tools = {tool.name for tool in case.facts.tools or ()}
    conda = next((name for name in ("mamba", "micromamba", "conda") if name in tools), None)
    if conda and (case.facts.python.kind == "conda" or "uv" not in tools):
        return (remedies.command(case, what, conda, "create", "-n", _NAME, f"python={version}"),)
    venv = ("venv", "--python", version, _FOLDER)
    if case.facts.tools is None or "uv" in tools:
        return (remedies.command(case, what, "uv", *venv),)
    get_uv = say("Get uv, which makes environments with any Python")
    python = case.facts.python
    has_uv = at_least(python.version or "0", limit("uv_python"))
    if python.path and python.has_pip and has_uv and not python.externally_managed:
        return (
            remedies.command(case, get_uv, *remedies.pip(case, "install", "uv")),
            remedies.command(case, what, python.path, "-m", "uv", *venv),
        )
    uv_page = say("Get uv, which makes environments with any Python: {url}", url=page("uv"))
    return (remedies.step(uv_page), remedies.command(case, what, "uv", *venv))


def with_python_of(case: Case, get: Text, builds: Sequence[Build]) -> tuple[Fix, ...]:
    """Get another kind of Python (`get` says which and where), make an environment with it, and torch in that."""
    best = best_python(builds) or "3"
    windows = case.facts.host.os == "windows"
    python = ("py", f"-{best}") if windows else (f"python{best}",)
    return (
        remedies.step(get),
        remedies.command(case, say("Make an environment with it"), *python, "-m", "venv", _FOLDER),
        _torch_into(case, python_in(case)),
    )


def own_environment(case: Case) -> tuple[Fix, ...]:
    """An environment beside the examined interpreter, which the system does not want to be changed."""
    known = distribution(case.facts.host.os_name)
    first = say("Install the part of Python that makes environments")
    made = remedies.command(case, say("Make a virtual environment"), remedies.python_of(case), "-m", "venv", _FOLDER)
    return (*remedies.lines(first, known.venv if known else ()), made)


def moved_into(case: Case, fixes: Iterable[Fix]) -> tuple[Fix, ...]:
    """The same installation in that environment; what would be taken away from the system's Python stays."""
    examined, own = remedies.python_of(case), python_in(case)
    kept = (fix for fix in fixes if "uninstall" not in fix.argv)
    moved = ((fix, tuple(own if word == examined else word for word in fix.argv)) for fix in kept)
    return tuple(
        msgspec.structs.replace(fix, argv=argv, shell=join(argv, remedies.shell_of(case)) if argv else fix.shell)
        for fix, argv in moved
    )


def python_in(case: Case) -> str:
    """The interpreter of the environment that was made."""
    return f"{_FOLDER}\\Scripts\\python.exe" if case.facts.host.os == "windows" else f"{_FOLDER}/bin/python"


def _torch_into(case: Case, python: str | None = None, *, torch: str | None = None) -> Fix:
    what = say("Install the build of torch that suits this machine")
    place = ("--python", python) if python else ()
    wish = ("--torch", torch) if torch else ()
    return remedies.command(case, what, "envcheck", "install", *place, *wish)
