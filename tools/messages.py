"""Merge `envcheck/locale/zh_CN/*.po`, compile them, and say what is missing, obsolete or wrong.

    python tools/messages.py            compile; exit 1 when something is wrong
    python tools/messages.py --check    compile nothing, only say what is wrong
    python tools/messages.py --missing  print PO entries for what has no Chinese yet

Messages are the first arguments of `say(...)`, the paragraphs of check and command docstrings, help texts, and the
sentences of the mirror files.
"""

import ast
import io
import string
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import click
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "envcheck"
FRAGMENTS = PACKAGE / "locale" / "zh_CN"
_NO_DAY = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""The same bytes for the same messages, whenever they are compiled."""
COMPILED = FRAGMENTS / "LC_MESSAGES" / "envcheck.mo"
LIBRARY = "click.po"
"""click's own messages: they differ from version to version, so none of them is missing or obsolete."""


class Merged(NamedTuple):
    """All fragments in one: message id (or singular and plural) -> translation(s), and what is wrong with them."""

    entries: dict[str | tuple[str, str], str | tuple[str, ...]]
    library: set[str]
    problems: list[str]


def used() -> dict[str, str]:
    """Every message of the program -> where it stands first."""
    found: dict[str, str] = {}
    for message, where in [*_said(), *_pages(), *_helps(), *_mirrors()]:
        found.setdefault(message, where)
    return found


def not_literal() -> list[str]:
    """Calls of `say` whose message is not a literal, so that nobody can translate it."""
    return [where for message, where in _calls() if message is None]


def merged() -> Merged:
    """The fragments, read and merged."""
    entries: dict[str | tuple[str, str], str | tuple[str, ...]] = {}
    library: set[str] = set()
    problems: list[str] = []
    for path in sorted(FRAGMENTS.glob("*.po")):
        with path.open("rb") as file:
            catalogue = read_po(file, locale="zh_CN", abort_invalid=True)
        for message in catalogue:
            if not message.id:
                continue
            key = _key(message.id)
            name = key if isinstance(key, str) else key[0]
            if path.name == LIBRARY:
                library.add(name)
            if message.fuzzy:
                problems.append(f"{path.name}: fuzzy: {name}")
            elif not message.string or not any(message.string):
                problems.append(f"{path.name}: empty: {name}")
            elif entries.setdefault(key, _frozen(message.string)) != _frozen(message.string):
                problems.append(f"{path.name}: translated otherwise in another fragment: {name}")
            if isinstance(key, str) and path.name != LIBRARY and fields(key) != fields(str(message.string)):
                problems.append(f"{path.name}: other fields: {name}")
    return Merged(entries, library, problems)


def _key(message_id: str | list[str] | tuple[str, ...]) -> str | tuple[str, str]:
    return message_id if isinstance(message_id, str) else (message_id[0], message_id[1])


def _frozen(translation: str | list[str] | tuple[str, ...]) -> str | tuple[str, ...]:
    return translation if isinstance(translation, str) else tuple(translation)


def problems(together: Merged) -> list[str]:
    """Everything that is wrong: missing, obsolete, fuzzy, empty, other fields, not literal."""
    known = {key if isinstance(key, str) else key[0] for key in together.entries}
    wanted = used()
    missing = [f"{where}: no Chinese: {message}" for message, where in wanted.items() if message not in known]
    obsolete = [f"obsolete: {message}" for message in sorted(known - wanted.keys() - together.library)]
    literal = [f"{where}: say() wants a literal" for where in not_literal()]
    return together.problems + missing + obsolete + literal


def compiled(together: Merged) -> bytes:
    """The entries as a .mo file."""
    catalogue = Catalog(locale="zh_CN", fuzzy=False, creation_date=_NO_DAY, revision_date=_NO_DAY)
    for key, value in together.entries.items():
        catalogue.add(key, value)
    buffer = io.BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def up_to_date(together: Merged) -> bool:
    """Whether the compiled file says what the fragments say."""
    return COMPILED.is_file() and _entries(COMPILED.read_bytes()) == _entries(compiled(together))


def _entries(compiled_file: bytes) -> dict[str, str]:
    return {str(message.id): str(message.string) for message in read_mo(io.BytesIO(compiled_file)) if message.id}


def fields(message: str) -> set[str]:
    """Names of the `{fields}`."""
    return {name for _, name, _, _ in string.Formatter().parse(message) if name is not None}


def _calls() -> Iterator[tuple[str | None, str]]:
    """The first argument of each `say(...)`: a literal, or a name that the same function gives only literals."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        scopes = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda))]
        names: dict[int, dict[str, list[str]]] = {}
        for scope in scopes:
            names |= dict.fromkeys(map(id, ast.walk(scope)), _literals(scope))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "say":
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                first = node.args[0] if node.args else None
                yield from ((message, where) for message in _messages(first, names.get(id(node), {})))


def _messages(first: ast.expr | None, names: dict[str, list[str]]) -> list[str | None]:
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        return [first.value]
    return [*names.get(first.id, [])] or [None] if isinstance(first, ast.Name) else [None]


def _literals(scope: ast.FunctionDef | ast.Lambda) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node in ast.walk(scope):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(message))):
                found.setdefault(name, []).append(message)
    return found


def _said() -> Iterator[tuple[str, str]]:
    return ((message, where) for message, where in _calls() if message is not None)


def _pages() -> Iterator[tuple[str, str]]:
    from envcheck.diagnosis.checks import CHECKS
    from envcheck.locale import paragraphs

    return ((text, f"page {check.code}") for check in CHECKS for text in paragraphs(check.page))


def _helps() -> Iterator[tuple[str, str]]:
    from envcheck.cli import COMMANDS, cli

    yield from ((entry.help, f"command {name}") for name, entry in COMMANDS.items())
    yield from _help_of("envcheck", cli)


def _mirrors() -> Iterator[tuple[str, str]]:
    """Sentences of the mirror files."""
    from envcheck.catalogue.mirrors import mirrors

    for one in mirrors().values():
        limits = (limit for record in one.records.values() for limit in record.limits)
        yield from ((text, f"mirrors/{one.name}.toml") for text in (one.title, *one.notes, *limits))


def _help_of(path: str, command: click.Command) -> Iterator[tuple[str, str]]:
    from envcheck.locale import paragraphs

    yield from ((text, path) for text in paragraphs(command.help or ""))
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.help and not parameter.hidden:
            yield parameter.help, f"{path} {parameter.opts[0]}"
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _help_of(f"{path} {name}", inner)


def _print_missing(together: Merged) -> None:
    known = {key if isinstance(key, str) else key[0] for key in together.entries}
    for message, where in used().items():
        if message not in known:
            escaped = message.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            print(f'#: {where}\nmsgid "{escaped}"\nmsgstr ""\n')


def main() -> int:
    sys.path.insert(0, str(ROOT))
    together = merged()
    if "--missing" in sys.argv:
        _print_missing(together)
        return 0
    if "--check" not in sys.argv:
        COMPILED.parent.mkdir(exist_ok=True)
        COMPILED.write_bytes(compiled(together))
    wrong = problems(together)
    if not up_to_date(together):
        wrong.append(f"{COMPILED.relative_to(ROOT)} is not up to date: run tools/messages.py")
    print("\n".join(wrong) or f"{len(together.entries)} messages, all well")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
