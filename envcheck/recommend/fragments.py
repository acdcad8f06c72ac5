"""A plan as a piece of a file: requirements, pyproject.toml, environment.yml, pixi.toml, Dockerfile."""

from collections.abc import Iterable, Iterator
from typing import Literal

from envcheck.catalogue import Catalogue
from envcheck.model.errors import EnvcheckError
from envcheck.model.plan import Build
from envcheck.model.text import say
from envcheck.recommend.commandline import Manager, Place, conda_python, conda_specs, install_steps, pins
from envcheck.recommend.sources import Route

Form = Literal["commands", "requirements", "pyproject", "environment", "pixi", "dockerfile"]
FORMS: tuple[Form, ...] = ("commands", "requirements", "pyproject", "environment", "pixi", "dockerfile")
CONDA_FORMS = ("environment", "pixi")


def render(
    form: Form,
    build: Build,
    way: Route,
    catalogue: Catalogue,
    place: Place,
    packages: tuple[str, ...],
    manager: Manager = "pip",
) -> str:
    """The text of a fragment.

    Raises:
        EnvcheckError: a Dockerfile for a system that Docker's Python images do not run.
    """
    if form == "environment":
        return _lines(_environment(build, way, catalogue, place, packages))
    if form == "pixi":
        return _lines(_pixi(build, way, catalogue, place, packages))
    if form == "dockerfile":
        return _lines(_dockerfile(build, way, catalogue, place, packages, manager))
    words = pins(build, way, catalogue, place, packages)
    return _lines(_requirements(way, words) if form == "requirements" else _pyproject(build, way, words, place))


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def _requirements(way: Route, words: tuple[str, ...]) -> Iterator[str]:
    """Options stand on lines of their own; uv reads them too, but keeps to the first index that has a name."""
    if way.flat and way.torch:
        yield f"--find-links {way.torch}"
    if way.torch is None or way.flat or way.beside:
        if way.default:
            yield f"--index-url {way.default}"
        if way.beside and way.torch and not way.flat:
            yield f"--extra-index-url {way.torch}"
    else:
        yield f"--index-url {way.torch}"
        if way.default:
            yield f"--extra-index-url {way.default}"
    yield from words


def _pyproject(build: Build, way: Route, words: tuple[str, ...], place: Place) -> Iterator[str]:
    """The form of a uv project: an explicit index serves torch and its companions and nothing else."""
    yield "[project]"
    yield 'name = "torch-project"'
    yield 'version = "0.1.0"'
    yield f'requires-python = ">={place.python_version or build.pythons[0]}"'
    yield f"dependencies = {_listed(_named(word) for word in words)}"
    if way.torch and not build.tag:
        name = f"pytorch-{build.variant}".replace(".", "-")
        yield from ("", "[[tool.uv.index]]", f'name = "{name}"', f'url = "{way.torch}"')
        if way.flat:
            yield 'format = "flat"'
        yield "explicit = true"
        yield from ("", "[tool.uv.sources]")
        for word in words:
            yield f'{word.partition("=")[0]} = {{ index = "{name}" }}'
    if way.default:
        yield from ("", "[[tool.uv.index]]", 'name = "mirror"', f'url = "{way.default}"', "default = true")


def _named(word: str) -> str:
    """A wheel's address as a requirement: `torch @ https://...`."""
    if not word.startswith("https://"):
        return word
    return f"{word.rpartition('/')[2].partition('-')[0]} @ {word}"


def _environment(
    build: Build, way: Route, catalogue: Catalogue, place: Place, packages: tuple[str, ...]
) -> Iterator[str]:
    yield "name: torch"
    yield "channels:"
    yield from (f"  - {channel}" for channel in (*way.channels, "nodefaults"))
    yield "dependencies:"
    yield f"  - python={conda_python(build, place)}"
    yield from (f"  - {spec}" for spec in conda_specs(build, catalogue, packages))


_PLATFORMS = {
    ("linux", "x86_64"): "linux-64",
    ("linux", "aarch64"): "linux-aarch64",
    ("windows", "x86_64"): "win-64",
    ("macos", "arm64"): "osx-arm64",
    ("macos", "x86_64"): "osx-64",
}


def _pixi(build: Build, way: Route, catalogue: Catalogue, place: Place, packages: tuple[str, ...]) -> Iterator[str]:
    yield "[workspace]"
    yield 'name = "torch-project"'
    yield f"channels = {_listed(way.channels)}"
    yield f'platforms = ["{_PLATFORMS[build.os, build.machine]}"]'
    if build.cuda:
        yield from ("", "[system-requirements]", f'cuda = "{build.cuda.partition(".")[0]}"')
    yield from ("", "[dependencies]", f'python = "{conda_python(build, place)}.*"')
    for spec in conda_specs(build, catalogue, packages):
        name, _, version = spec.partition("=")
        yield f'{name} = "{version}.*"' if version else f'{name} = "*"'


def _dockerfile(
    build: Build, way: Route, catalogue: Catalogue, place: Place, packages: tuple[str, ...], manager: Manager
) -> Iterator[str]:
    if build.os != "linux":
        raise EnvcheckError(say("a Dockerfile needs a plan for Linux"), mend=say("add --os linux"))
    version = place.python_version or build.pythons[-1]
    yield f"FROM python:{version}-slim"
    if build.cuda:
        yield "# docker run --gpus all: the driver comes from the host, CUDA from the wheels"
        yield "ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility"
    inside = Place(python="python", python_version=version)
    for step in install_steps(build, "uv" if manager == "uv" else "pip", way, catalogue, inside, packages):
        argv = step.argv
        if manager == "uv":
            yield "COPY --from=ghcr.io/astral-sh/uv /uv /bin/uv"
            argv = (*argv[:3], "--system", *argv[3:])
        else:
            argv = (*argv[:4], "--no-cache-dir", *argv[4:])
        yield "RUN " + _joined(argv)


def _joined(argv: tuple[str, ...]) -> str:
    from envcheck.model.shell import join

    return join(argv, "sh")


def _listed(words: Iterable[str]) -> str:
    """A list of texts, as TOML writes it."""
    import json

    return json.dumps(list(words))
