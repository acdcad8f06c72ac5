"""pip's configuration: global, user, site and PIP_CONFIG_FILE files, then PIP_* variables.

Order and names as pip 26.3 has them (its `Configuration` and `appdirs`): the command's own section is stronger than
[global] whatever file it stands in, variables are stronger than files, an empty value counts as none.
"""

from collections.abc import Iterator

from envcheck.model.base import Plain
from envcheck.model.facts import Python, Setting
from envcheck.probes.configfiles import ini
from envcheck.probes.settings_reader import Reader, clean, in_force, join, origin
from envcheck.probes.system import System

ADDRESSES = ("index-url", "extra-index-url", "find-links", "proxy", "constraint")
LISTS = ("extra-index-url", "find-links", "trusted-host", "constraint")
KEYS = (
    *ADDRESSES,
    "no-index", "trusted-host", "cert", "pre", "prefer-binary", "only-binary", "no-binary",
    "require-virtualenv", "user", "target", "prefix", "no-cache-dir", "cache-dir", "isolated", "uploaded-prior-to",
)  # fmt: skip
_SECTIONS = ("global", "install", ":env:")


class _Row(Plain, frozen=True):
    section: str
    key: str
    value: str
    origin: str


def pip_settings(reader: Reader, python: Python) -> tuple[Setting, ...]:
    """What `pip install` in `python` would read, weakest first."""
    rows = [*_from_files(reader, python), *_from_environment(reader.system)]
    rows.sort(key=lambda row: _SECTIONS.index(row.section))
    settings = (
        Setting(tool="pip", key=row.key, value=clean(value, row.key in ADDRESSES), origin=row.origin)
        for row in rows
        for value in (row.value.split() if row.key in LISTS else [row.value])
    )
    return (*reader.take_errors(), *in_force(settings, merged=lambda _: False))


def pip_files(system: System, python: Python) -> tuple[str, ...]:
    """The files that pip loads, weakest first; with PIP_CONFIG_FILE at the null device none."""
    own = system.env("PIP_CONFIG_FILE")
    if own is not None and own == ("nul" if system.windows else "/dev/null"):
        return ()
    name = "pip.ini" if system.windows else "pip.conf"
    user = [] if own and system.exists(own) else list(user_files(system))
    site = [join(system, python.prefix, name)] if python.prefix else []
    return (*_global_files(system), *user, *site, *([own] if own else []))


def user_files(system: System) -> tuple[str, ...]:
    """The user's two files, the older place first; `pip config set` writes the last. Empty without a home."""
    home = system.home()
    if system.windows:
        roaming = system.env("APPDATA") or (join(system, home, "AppData", "Roaming") if home else None)
        legacy = (join(system, home, "pip", "pip.ini"),) if home else ()
        return (*legacy, *((join(system, roaming, "pip", "pip.ini"),) if roaming else ()))
    if not home:
        return ()
    base = system.env("XDG_CONFIG_HOME") or join(system, home, ".config")
    if system.platform == "darwin":
        library = join(system, home, "Library", "Application Support")
        base = library if system.exists(join(system, library, "pip")) else join(system, home, ".config")
    return (join(system, home, ".pip", "pip.conf"), join(system, base, "pip", "pip.conf"))


def _global_files(system: System) -> tuple[str, ...]:
    if system.windows:
        return (join(system, system.env("PROGRAMDATA") or "C:\\ProgramData", "pip", "pip.ini"),)
    if system.platform == "darwin":
        return ("/Library/Application Support/pip/pip.conf",)
    folders = (system.env("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    return (*(join(system, folder, "pip", "pip.conf") for folder in folders if folder), "/etc/pip.conf")


def _from_files(reader: Reader, python: Python) -> Iterator[_Row]:
    for path in pip_files(reader.system, python):
        for entry in reader.entries("pip", path, ini):
            if entry.section in ("global", "install") and entry.key in KEYS and entry.value:
                yield _Row(entry.section, entry.key, entry.value, origin(path, entry.line))


def _from_environment(system: System) -> Iterator[_Row]:
    for key in KEYS:
        name = "PIP_" + key.upper().replace("-", "_")
        if value := system.env(name):
            yield _Row(":env:", key, value, name)
