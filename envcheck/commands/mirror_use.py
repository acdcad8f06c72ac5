"""`envcheck mirrors use` and `restore`: show the difference, ask, write, look again."""

import difflib
from collections.abc import Iterable, Iterator, Sequence

from envcheck.catalogue.mirrors import OFFICIAL, Kind, Mirror
from envcheck.commands.world import World
from envcheck.model.base import Plain
from envcheck.model.errors import EnvcheckError
from envcheck.model.facts import Python
from envcheck.model.text import Text, say
from envcheck.probes import settings_conda, settings_pip, settings_uv
from envcheck.probes.edit import Change, carry_out, find, plan, plan_restore
from envcheck.probes.rewrite import Edit
from envcheck.probes.rewrite_conda import conda_channels
from envcheck.probes.rewrite_pip import pip_index
from envcheck.probes.rewrite_uv import uv_index
from envcheck.probes.settings_reader import Reader
from envcheck.probes.system import System
from envcheck.render.clean import clean
from envcheck.render.table import hanging

_CONDA_NAMES: dict[Kind, str] = {"conda_forge": "conda-forge", "pytorch_channel": "pytorch", "nvidia_channel": "nvidia"}
_YES = ("y", "yes", "是", "好")


class Wanted(Plain, frozen=True):
    """The edit of one tool's file."""

    tool: str
    path: str
    edit: Edit


def edits(world: World, chosen: Mirror, tools: Sequence[str]) -> list[Wanted]:
    """What `chosen` has for the given tools, or for those that are on this machine.

    Raises:
        EnvcheckError: nothing at all, or no home directory to write into.
    """
    if chosen.name == OFFICIAL:
        mend = say("`envcheck mirrors restore` goes back to what was there before `use`")
        raise EnvcheckError(say("the official addresses are what the tools use without any configuration"), mend=mend)
    possible = {tool: edit for tool in ("pip", "uv", "conda") if (edit := _edit(tool, chosen)) is not None}
    asked = tools or [tool for tool in possible if tool == "pip" or _is_there(world.system, tool)]
    missing = [tool for tool in asked if tool not in possible] if asked else ["pip"]
    if missing:
        mend = say("`envcheck mirrors list {name}` shows what it has", name=chosen.name)
        raise EnvcheckError(
            say("{mirror} has nothing for {tools}", mirror=chosen.name, tools=", ".join(missing)), mend=mend
        )
    return [Wanted(tool, _path(world.system, tool), possible[tool]) for tool in dict.fromkeys(asked)]


def _edit(tool: str, chosen: Mirror) -> Edit | None:
    if tool != "conda":
        url = chosen.pypi.url if chosen.pypi else None
        return None if url is None else pip_index(url) if tool == "pip" else uv_index(url)
    records = {name: chosen.usable(kind) for kind, name in _CONDA_NAMES.items()}
    custom = {name: one.url.rpartition("/")[0] for name, one in records.items() if one is not None and one.url}
    main = chosen.pkgs_main
    return conda_channels(custom, [main.url] if main and main.url else []) if custom else None


def _is_there(system: System, tool: str) -> bool:
    if tool == "uv":
        return system.which("uv", trusted=False) is not None
    names = ("conda", "mamba", "micromamba")
    return settings_conda.conda_root(system) is not None or any(system.which(name, trusted=False) for name in names)


def _path(system: System, tool: str) -> str:
    if tool == "pip":
        path = next(reversed(settings_pip.user_files(system)), None)
    else:
        path = settings_uv.user_file(system) if tool == "uv" else settings_conda.user_file(system)
    if path is None:
        raise EnvcheckError(say("no home directory is known"), mend=say("set HOME, or use --print"))
    return path


def print_lines(world: World, wanted: Iterable[Wanted]) -> None:
    """The lines to put into each file by hand."""
    parts = [f"# {one.path}\n" + "\n".join(one.edit.lines) + "\n" for one in wanted]
    world.write("\n".join(parts))


def use(world: World, chosen: Mirror, wanted: Sequence[Wanted], *, yes: bool, dry_run: bool) -> None:
    """Plan every edit before the first is made, then make them."""
    changes = [(one.tool, plan(find(world.system, one.path), one.edit)) for one in wanted]
    _show(world, changes)
    todo = [(tool, change) for tool, change in changes if not change.is_nothing]
    if todo and _agreed(world, yes=yes, dry_run=dry_run):
        for _, change in todo:
            _say_written(world, change.original.path, carry_out(change), is_new=change.backup is None)
        _look_again(world, wanted)
        if chosen.torch_wheels is None and not chosen.records.get("nvidia_wheels"):
            _say(world, say("For PyTorch with CUDA: `envcheck install --mirror {name}`", name=chosen.name))


def _say_written(world: World, path: str, backup: object, *, is_new: bool) -> None:
    if is_new:
        _say(world, say("{path}: written; there was no such file before", path=path))
    else:
        _say(world, say("{path}: written; the old bytes are in {backup}", path=path, backup=backup))


def restore(world: World, tools: Sequence[str], *, yes: bool, dry_run: bool) -> None:
    """Take back every edit whose file was not changed since."""
    found = [(tool, plan_restore(find(world.system, _path(world.system, tool)))) for tool in tools]
    changes = [(tool, change) for tool, change in found if change is not None]
    if not changes:
        _say(world, say("Nothing to restore: envcheck has edited none of these files"))
        return
    _show(world, changes)
    if _agreed(world, yes=yes, dry_run=dry_run):
        for _, change in changes:
            carry_out(change)
            gone = change.after is None
            text = say("{path}: removed, as before") if gone else say("{path}: its old bytes are back")
            _say(world, Text(msgid=text.msgid, values={"path": change.original.path}))


def _show(world: World, changes: Iterable[tuple[str, Change]]) -> None:
    lines: list[str] = []
    for tool, change in changes:
        head = say("{tool}: {path} stays as it is") if change.is_nothing else say("{tool}: {path}")
        text = Text(msgid=head.msgid, values={"tool": tool, "path": change.original.path})
        lines += [world.terminal.style(world.voice(text), bold=True), *_difference(world, change), ""]
    world.write("\n".join(lines))


def _difference(world: World, change: Change) -> Iterator[str]:
    before, after = (
        (data or b"").decode("utf-8", "replace").splitlines() for data in (change.original.data, change.after)
    )
    for line in difflib.unified_diff(before, after, n=0, lineterm=""):
        if line.startswith(("---", "+++")):
            continue
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        yield world.terminal.style(f"  {clean(_without_secret(line))}", fg=colour)


def _without_secret(line: str) -> str:
    """A line of a person's file, cut where a password or a token may begin."""
    if "@" in line[2:] and not line.startswith("@@"):
        return f"{line[: min(line.find(mark) for mark in '=:@' if mark in line) + 1]} ****"
    head, token, _ = line.partition("/t/")
    return f"{head}{token}****" if token else line


def _agreed(world: World, *, yes: bool, dry_run: bool) -> bool:
    if dry_run:
        return False
    if yes:
        return True
    if not world.stdin.isatty():
        _say(world, say("Nothing was written: there is nobody to ask. Use --yes"))
        return False
    from envcheck.render.terminal import write

    write(world.err, world.voice(say("Write this? [y/N]")) + " ")
    agreed = world.stdin.readline().strip().casefold() in _YES
    if not agreed:
        _say(world, say("Nothing was written"))
    return agreed


def _look_again(world: World, wanted: Iterable[Wanted]) -> None:
    """Say which edit has no effect because something stronger hides it."""
    reader = Reader(world.system)
    rows = (
        *settings_pip.pip_settings(reader, Python()),
        *settings_uv.uv_settings(reader, None),
        *settings_conda.conda_settings(reader, Python()),
    )
    for one in wanted:
        keys = {"pip": ("index-url",), "uv": ("default-index",)}.get(one.tool, ())
        for row in rows:
            if row.tool == one.tool and row.key in keys and row.effective and not row.origin.startswith(one.path):
                _say(world, say("{tool} will not use it: {origin} is stronger", tool=one.tool, origin=row.origin))


def _say(world: World, text: Text) -> None:
    world.write("\n".join(hanging(world.voice(text), world.terminal.width)) + "\n")
