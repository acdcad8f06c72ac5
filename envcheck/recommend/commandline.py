"""From a plan to command lines: pip, uv, conda, mamba, pixi and poetry, each in its own form.

Every pin is unambiguous: a label (`+cu126`) where the wheel has one, `===` on the default index (a leftover extra
index with `+cpu` wheels must not win), the wheel's own address where two builds share a version.
"""

from collections.abc import Callable
from typing import Literal

from envcheck.catalogue import Catalogue
from envcheck.model.base import Plain
from envcheck.model.facts import Facts
from envcheck.model.plan import Build, Plan
from envcheck.model.report import Fix
from envcheck.model.shell import Shell, join
from envcheck.model.text import Text, say
from envcheck.model.versions import at_least, numbers
from envcheck.recommend.sources import Route, route

Manager = Literal["pip", "uv", "conda", "mamba", "pixi", "poetry"]
MANAGERS: tuple[Manager, ...] = ("pip", "uv", "conda", "mamba", "pixi", "poetry")
COMPANIONS = ("torchvision", "torchaudio")


class Step(Plain, frozen=True):
    """A command to run, with what it does and the variables that must be set for it."""

    what: Text
    argv: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()

    def shown(self, shell: Shell) -> str:
        """The line to paste."""
        line = join(self.argv, shell)
        if not self.variables:
            return line
        if shell == "sh":
            return " ".join([f"{name}={join((value,), shell)}" for name, value in self.variables] + [line])
        if shell == "cmd":
            return " && ".join([f'set "{name}={value}"' for name, value in self.variables] + [line])
        return "; ".join([f"$Env:{name} = '{value}'" for name, value in self.variables] + [line])


class Place(Plain, frozen=True):
    """Where to install: an interpreter, or a conda environment by its prefix (None: a new one named `torch`)."""

    python: str = "python"
    python_version: str | None = None
    """`3.12`, for new environments and wheel file names."""
    prefix: str | None = None
    has_gpu: bool = True
    """False: planned here for another machine, so conda must be told which CUDA to expect."""


def install_steps(
    build: Build, manager: Manager, way: Route, catalogue: Catalogue, place: Place, packages: tuple[str, ...]
) -> tuple[Step, ...]:
    """The commands that install `build` and `packages` (companions) with `manager` over `way`."""
    if manager in ("conda", "mamba"):
        return (_conda(build, manager, way, catalogue, place, packages),)
    if manager == "pixi":
        return _pixi(build, way, catalogue, place, packages)
    words = pins(build, way, catalogue, place, packages)
    if manager == "poetry":
        return _poetry(build, way, words)
    if manager == "uv":
        into = () if place.python == "python" else ("--python", place.python)
        return (Step(_what(build), ("uv", "pip", "install", *into, *words, *uv_flags(way))),)
    return (Step(_what(build), (place.python, "-m", "pip", "install", *words, *pip_flags(way))),)


def install_argv(
    plan: Plan, manager: Manager, way: Route, catalogue: Catalogue, place: Place, packages: tuple[str, ...] = COMPANIONS
) -> tuple[str, ...]:
    """The first command of `install_steps`; empty when the plan has no build."""
    if plan.build is None:
        return ()
    return install_steps(plan.build, manager, way, catalogue, place, packages)[0].argv


def _what(build: Build) -> Text:
    return say("Install torch {torch} ({variant})", torch=build.torch, variant=build.variant)


# --- wheels -------------------------------------------------------------------------------------------------------


def pins(build: Build, way: Route, catalogue: Catalogue, place: Place, packages: tuple[str, ...]) -> tuple[str, ...]:
    """Requirements of torch and its companions; addresses of wheels where two builds share a version."""
    asked = [(name, getattr(build, name)) for name in COMPANIONS if name in packages]
    companions = [(name, version) for name, version in asked if version]
    if way.torch is None:
        return tuple(f"{name}==={version}" for name, version in (("torch", build.torch), *companions))
    if build.tag:
        return _addresses(build, way.torch, place, companions)
    labelled = _companions_labelled(build, catalogue)
    return (
        f"torch=={build.torch}{build.local}",
        *(f"{name}=={version}{build.local if labelled(name) else ''}" for name, version in companions),
    )


def _companions_labelled(build: Build, catalogue: Catalogue) -> Callable[[str], bool]:
    index = catalogue.platforms.index
    known = build.machine == "x86_64" and at_least(index.companion_labels_until, build.torch)
    old = at_least(index.beside_until, build.torch)

    def labelled(name: str) -> bool:
        return known and not (old and name == "torchaudio")

    return labelled


def _addresses(build: Build, index: str, place: Place, companions: list[tuple[str, str]]) -> tuple[str, ...]:
    """Wheels by address. torchvision's stands beside torch's on Windows; elsewhere the default index has it."""
    python = numbers(place.python_version or build.pythons[-1])
    tag = f"cp{python[0]}{python[1]}"
    abi = tag + ("m" if python < (3, 8) else "")

    def address(name: str, version: str) -> str:
        return f"{index}/{name}-{version}-{tag}-{abi}-{build.tag}.whl"

    beside = build.os == "windows"
    rest = (
        address(name, version) if beside and name == "torchvision" else f"{name}=={version}"
        for name, version in companions
    )
    return (address("torch", build.torch), *rest)


def pip_flags(way: Route) -> tuple[str, ...]:
    """Flags for pip, which merges all its indexes and takes the highest version: the pin's label decides."""
    default = ("--index-url", way.default) if way.default else ()
    if way.torch is None:
        return default
    if way.flat:
        return ("--find-links", way.torch, *default)
    if way.beside:
        return (*default, "--extra-index-url", way.torch)
    return ("--index-url", way.torch, *(("--extra-index-url", way.default) if way.default else ()))


def uv_flags(way: Route) -> tuple[str, ...]:
    """Flags for uv, which stops at the first index that has a name: torch's goes first, the default one last."""
    default = ("--default-index", way.default) if way.default else ()
    if way.torch is None:
        return default
    if way.flat:
        return ("--find-links", way.torch, *default)
    if way.beside:
        return ("--index", way.torch, *default, "--index-strategy", "unsafe-best-match")
    return ("--index", way.torch, *default)


def _poetry(build: Build, way: Route, words: tuple[str, ...]) -> tuple[Step, ...]:
    steps = []
    if way.default:
        argv = ("poetry", "source", "add", "--priority", "primary", "mirror", way.default)
        steps.append(Step(say("Name the mirror of the default index"), argv))
    if way.torch is None or build.tag:
        return (*steps, Step(_what(build), ("poetry", "add", *words)))
    source = f"pytorch-{build.variant}"
    argv = ("poetry", "source", "add", "--priority", "explicit", source, way.torch)
    steps.append(Step(say("Name the torch index"), argv))
    return (*steps, Step(_what(build), ("poetry", "add", "--source", source, *words)))


# --- conda --------------------------------------------------------------------------------------------------------


def conda_specs(build: Build, catalogue: Catalogue, packages: tuple[str, ...]) -> tuple[str, ...]:
    """What conda is asked for: never bare `pytorch` for a GPU on conda-forge, so that no solve falls back to CPU."""
    era = catalogue.conda_era(build)
    beside = era.specs.replace("{cuda}", build.cuda) if build.cuda else era.cpu_specs
    torch = f"{era.gpu if build.cuda else era.cpu}={build.torch}"
    if build.channel == "conda-forge":
        companions = tuple(name for name in COMPANIONS[:1] if name in packages)
    else:
        companions = tuple(
            f"{name}={getattr(build, name)}" for name in COMPANIONS if name in packages and getattr(build, name)
        )
    return (torch, *((beside,) if beside else ()), *companions)


def _conda(
    build: Build, manager: Manager, way: Route, catalogue: Catalogue, place: Place, packages: tuple[str, ...]
) -> Step:
    channels = [word for channel in way.channels for word in ("-c", channel)]
    specs = conda_specs(build, catalogue, packages)
    if place.prefix:
        head: tuple[str, ...] = (manager, "install", "-p", place.prefix)
    else:
        head = (manager, "create", "-n", "torch")
        specs = (f"python={conda_python(build, place)}", *specs)
    override = (("CONDA_OVERRIDE_CUDA", build.cuda),) if build.cuda and not place.has_gpu else ()
    return Step(_what(build), (*head, "--override-channels", *channels, *specs), override)


def conda_python(build: Build, place: Place) -> str:
    """The Python of a new environment: the one that is here if the build has it, else the build's newest but one."""
    if place.python_version in build.pythons:
        return str(place.python_version)
    return build.pythons[-2] if len(build.pythons) > 1 else build.pythons[-1]


def _pixi(build: Build, way: Route, catalogue: Catalogue, place: Place, packages: tuple[str, ...]) -> tuple[Step, ...]:
    channels = [word for channel in way.channels for word in ("--channel", channel)]
    made = Step(say("Make a project"), ("pixi", "init", "torch-project", *channels))
    manifest = ("--manifest-path", "torch-project")
    needs = Step(
        say("Tell pixi that CUDA will be there"),
        ("pixi", "workspace", "system-requirements", "add", *manifest, "cuda", (build.cuda or "").partition(".")[0]),
    )
    python = f"python={conda_python(build, place)}.*"
    specs = tuple(
        f"{spec}.*" if spec.startswith("cuda-version") else spec for spec in conda_specs(build, catalogue, packages)
    )
    added = Step(_what(build), ("pixi", "add", *manifest, python, *specs))
    return (made, needs, added) if build.cuda else (made, added)


# --- fixes --------------------------------------------------------------------------------------------------------


def fixes(plan: Plan, facts: Facts, catalogue: Catalogue) -> tuple[Fix, ...]:
    """The steps that (re)install what the plan chose with the examined interpreter; empty without a build.

    The very version that is asked for, when it is installed already and yet to be mended, is taken away first:
    pip would call it satisfied.
    """
    if plan.build is None:
        return ()
    manager = manager_of(facts)
    shell: Shell = "powershell" if facts.host.os == "windows" else "sh"
    place = place_of(facts)
    way = route(plan.build, catalogue)
    steps = install_steps(plan.build, manager, way, catalogue, place, installed_companions(facts))
    away = _uninstall(facts, manager, place) if facts.torch.version == _version(plan.build, way) else ()
    return tuple(Fix(what=step.what, argv=step.argv, shell=step.shown(shell)) for step in (*away, *steps))


def manager_of(facts: Facts) -> Manager:
    """What installs into the examined environment: uv where it has no pip of its own, else pip."""
    return "uv" if facts.python.has_pip is False else "pip"


def place_of(facts: Facts) -> Place:
    """The examined interpreter as a place to install into."""
    version = numbers(facts.python.version or "")[:2]
    return Place(
        python=facts.python.path or "python",
        python_version=".".join(str(part) for part in version) or None,
        prefix=facts.python.prefix if facts.python.kind == "conda" else None,
    )


def installed_companions(facts: Facts) -> tuple[str, ...]:
    """The companions that are installed and so must change with torch; both when it is not known."""
    if facts.packages is None:
        return COMPANIONS
    here = {package.name for package in facts.packages}
    return tuple(name for name in COMPANIONS if name in here)


def _version(build: Build, way: Route) -> str:
    return build.torch + (build.local if way.torch else "")


def _uninstall(facts: Facts, manager: Manager, place: Place) -> tuple[Step, ...]:
    names = ("torch", *(name for name in installed_companions(facts) if facts.packages is not None))
    what = say("Take the installed build away")
    if manager == "uv":
        return (Step(what, ("uv", "pip", "uninstall", "--python", place.python, *names)),)
    return (Step(what, (place.python, "-m", "pip", "uninstall", "-y", *names)),)
