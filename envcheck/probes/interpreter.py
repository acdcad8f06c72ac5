"""Which Python environment is examined: the one that a person named, is in, or would most likely install into.

The order, the first that has an interpreter wins:

1. `--python`
2. `$VIRTUAL_ENV`, then `$CONDA_PREFIX`: an environment that is active
3. our own, when it has torch
4. `./.venv`
5. our own, when it is somebody's environment and not a tool's (pipx, uv tool)
6. `python` (or `python3`) on PATH
7. our own

Every candidate is recorded, with what its files say about torch. Nothing is run here.
"""

import re
import sys
from collections.abc import Iterator

from envcheck.model.base import Plain
from envcheck.model.errors import EnvcheckError
from envcheck.model.facts import Environment
from envcheck.model.patterns import regex
from envcheck.model.text import say
from envcheck.probes.system import System

_VERSION_LINE = regex(r"^version(?:_info)?\s*=\s*(\d+\.\d+(?:\.\d+)?)", re.MULTILINE)
_TORCH_VERSION = regex(r"^__version__[^=\n]*=\s*['\"]([^'\"]{1,80})['\"]", re.MULTILINE)
_NAMED_VERSION = regex(r"python-?(\d\.\d{1,2})(?:$|[^0-9])")
_SHEBANG = regex(r"#!\s*(\S[^\n]*)|'''exec' \"?([^\"'\n]+?)\"? \"\$0\"")
_TOOL_MARKS = ("uv-receipt.toml", "pipx_metadata.json")


class Choice(Plain, frozen=True):
    """The interpreter to examine, why this one, and the others that could have been meant."""

    path: str
    chosen_by: str
    candidates: tuple[Environment, ...]


def choose(system: System, asked: str | None = None, own: str = sys.executable) -> Choice:
    """The interpreter to examine. `asked` is `--python`: a file, an environment's directory, a name on PATH.

    Raises:
        EnvcheckError: what was asked for is not there, or is no interpreter and no environment.
    """
    files = system.unrooted()
    if asked is not None:
        path = _named(files, asked)
        return Choice(path, "--python", (_environment(files, path, "--python"),))
    found = list(_candidates(files, own))
    candidates = tuple(_environment(files, path, chosen_by) for path, chosen_by in found)
    chosen = _preferred(files, candidates)
    return Choice(chosen.path, chosen.chosen_by, _distinct(candidates))


def pip_python(system: System) -> str | None:
    """The interpreter behind the `pip` on PATH, from the first lines of that script."""
    files = system.unrooted()
    path = files.which("pip", trusted=False)
    if path and files.windows:
        return _beside(files, path)
    head = (files.read(path, 512).text if path else None) or ""
    for match in _SHEBANG.finditer(head):
        program = match[1].split()[0] if match[1] else match[2]
        if "python" in program.replace("\\", "/").rpartition("/")[2]:
            return program
    return None


def _beside(files: System, pip: str) -> str | None:
    """Windows: `pip.exe` lies in `Scripts`, its interpreter beside it (venv) or one folder above."""
    scripts = re.split(r"[/\\][^/\\]*$", pip)[0]
    above = re.split(r"[/\\][^/\\]*$", scripts)[0]
    paths = (f"{scripts}\\python.exe", f"{above}\\python.exe")
    return next((path for path in paths if files.kind(path) == "file"), None)


def _candidates(files: System, own: str) -> Iterator[tuple[str, str]]:
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        folder = files.env(variable)
        inside = _inside(files, folder) if folder else None
        if inside:
            yield inside, variable
    local = _inside(files, files.cwd() + "/.venv")
    if local:
        yield local, "./.venv"
    on_path = _on_path(files)
    if on_path:
        yield on_path, "PATH"
    if own:
        yield own, "self"


def _preferred(files: System, candidates: tuple[Environment, ...]) -> Environment:
    by = {found.chosen_by: found for found in candidates}
    own = by.get("self")
    order = [by.get("VIRTUAL_ENV"), by.get("CONDA_PREFIX"), own if own and own.has_torch else None, by.get("./.venv")]
    order += [own if own and _is_project(files, own.path) else None, by.get("PATH"), own]
    chosen = next((found for found in order if found is not None), None)
    if chosen is None:
        what = say("no Python interpreter was found")
        raise EnvcheckError(what, mend=say("name one: `--python PATH`"))
    return chosen


def _distinct(candidates: tuple[Environment, ...]) -> tuple[Environment, ...]:
    first: dict[str, Environment] = {}
    for found in candidates:
        first.setdefault(found.path, found)
    return tuple(first.values())


def _named(files: System, asked: str) -> str:
    """The interpreter that a person named."""
    mend = say("give an interpreter, the directory of an environment, or a name on PATH such as `python3`")
    path = _absolute(files, asked)
    kind = files.kind(path) if asked and "\0" not in asked else None
    if kind is None and asked and not re.search(r"[/\\\0]", asked):
        name = f"python{asked}" if re.fullmatch(r"\d+(\.\d+)?", asked) else asked
        path = files.which(name, trusted=False) or path
        kind = files.kind(path)
    if kind == "dir":
        inside = _inside(files, path)
        if inside is None:
            raise EnvcheckError(say("no Python environment in this directory"), where=asked, mend=mend)
        return inside
    if kind is None:
        raise EnvcheckError(say("no such interpreter"), where=asked or '""', mend=mend)
    if kind != "file" or not files.executable(path):
        raise EnvcheckError(say("not a Python interpreter: it is not an executable file"), where=asked, mend=mend)
    return path


def _absolute(files: System, path: str) -> str:
    if path.startswith("~") and files.home():
        path = (files.home() or "") + path[1:]
    if path.startswith("/") or (files.windows and re.match(r"[A-Za-z]:[\\/]|\\\\", path)):
        return path
    return files.cwd().rstrip("/\\") + ("\\" if files.windows else "/") + path


def _inside(files: System, folder: str) -> str | None:
    """The interpreter of an environment."""
    names = ("Scripts/python.exe", "python.exe") if files.windows else ("bin/python", "bin/python3")
    paths = [folder.rstrip("/\\") + "/" + name for name in names]
    if files.windows:
        paths = [path.replace("/", "\\") for path in paths]
    return next((path for path in paths if files.kind(path) == "file" and files.executable(path)), None)


def _on_path(files: System) -> str | None:
    for name in ("python", "python3"):
        path = files.which(name, trusted=False)
        if path and not _is_offer(files, path):
            return path
    return None


def _is_offer(files: System, path: str) -> bool:
    """Stubs that open a shop (Windows) or offer to install developer tools (macOS) in place of running Python."""
    if files.platform == "darwin" and path.startswith("/usr/bin/"):
        return not any(map(files.exists, ("/Library/Developer/CommandLineTools", "/Applications/Xcode.app")))
    return "\\WindowsApps\\" in path


def _is_project(files: System, interpreter: str) -> bool:
    """Whether this is an environment that somebody made for their work, not one that a tool made for itself."""
    prefix = _prefix(interpreter)
    words = set(re.split(r"[/\\]", prefix))
    is_tool = any(files.exists(f"{prefix}/{mark}") for mark in _TOOL_MARKS) or bool(
        words & {"archive-v0", "environments-v2", "builds-v0", "pipx"}
    )
    return not is_tool and (files.exists(f"{prefix}/pyvenv.cfg") or files.exists(f"{prefix}/conda-meta"))


def _prefix(interpreter: str) -> str:
    folder = re.split(r"[/\\][^/\\]*$", interpreter)[0]
    inner = re.split(r"[/\\]", folder)[-1].lower() in ("bin", "scripts")
    return (re.split(r"[/\\][^/\\]*$", folder)[0] if inner else folder) or "/"


def _environment(files: System, interpreter: str, chosen_by: str) -> Environment:
    """What the files of an environment say, without starting it."""
    prefix = _prefix(interpreter)
    configuration = files.read(f"{prefix}/pyvenv.cfg").text
    version = _version(files, prefix, interpreter, configuration)
    sites = _sites(files, prefix, version, user=configuration is None)
    has_torch, torch = _torch(files, sites)
    return Environment(path=interpreter, chosen_by=chosen_by, version=version, has_torch=has_torch, torch_version=torch)


def _version(files: System, prefix: str, interpreter: str, configuration: str | None) -> str | None:
    if configuration is not None:
        found = _VERSION_LINE.search(configuration)
        return found[1] if found else None
    for name in files.listdir(f"{prefix}/conda-meta") or ():
        conda = re.fullmatch(r"python-(\d+\.\d+\.\d+)-.*\.json", name)
        if conda:
            return conda[1]
    named = _NAMED_VERSION.search(interpreter) or _NAMED_VERSION.search(files.readlink(interpreter) or "")
    return named[1] if named else None


def _sites(files: System, prefix: str, version: str | None, *, user: bool) -> list[str]:
    """Directories of installed packages that exist."""
    if files.windows:
        return [path for path in (f"{prefix}/Lib/site-packages",) if files.exists(path)]
    short = ".".join(version.split(".")[:2]) if version else None
    roots = [prefix, "/usr/local"] if prefix == "/usr" else [prefix]
    roots += [f"{files.home()}/.local"] if user and files.home() else []
    found = []
    for root in roots:
        libraries = (
            [f"python{short}"] if short else [n for n in files.listdir(f"{root}/lib") or () if n[:7] == "python3"]
        )
        folders = [f"{root}/lib/{library}" for library in libraries] + (
            [f"{root}/lib/python3"] if root == "/usr" else []
        )
        found += [f"{folder}/{kind}-packages" for folder in folders for kind in ("site", "dist")]
    return [path for path in dict.fromkeys(found) if files.exists(path)]


def _torch(files: System, sites: list[str]) -> tuple[bool | None, str | None]:
    for site in sites:
        if files.exists(f"{site}/torch/__init__.py"):
            stated = _TORCH_VERSION.search(files.read(f"{site}/torch/version.py").text or "")
            return True, stated[1] if stated else None
    return (False if sites else None), None
