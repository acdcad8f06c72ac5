"""uv's configuration: system, user and project files, then UV_* variables. uv reads neither pip.conf nor PIP_*.

Names are given after uv's options: what decides the index of last resort is `default-index`, every other index is
`index`, one that only `tool.uv.sources` may use is `explicit-index`.
"""

from collections.abc import Iterable, Iterator

from envcheck.model.facts import Setting
from envcheck.probes.configfiles import Entry, toml
from envcheck.probes.settings_reader import Reader, clean, in_force, join, origin
from envcheck.probes.system import System

_NAMES = {"index-url": "default-index", "extra-index-url": "index", "native-tls": "system-certs"}
KEYS = (
    "default-index", "index", "find-links", "no-index", "index-strategy", "torch-backend", "allow-insecure-host",
    "system-certs", "offline", "http-proxy", "https-proxy", "no-proxy", "prerelease", "exclude-newer",
)  # fmt: skip
_ADDRESSES = ("default-index", "index", "explicit-index", "find-links", "http-proxy", "https-proxy")
_MERGED = ("index", "explicit-index", "find-links", "allow-insecure-host")
_VARIABLES = {
    "UV_INDEX_URL": "default-index", "UV_DEFAULT_INDEX": "default-index", "UV_EXTRA_INDEX_URL": "index",
    "UV_INDEX": "index", "UV_FIND_LINKS": "find-links", "UV_NO_INDEX": "no-index",
    "UV_INDEX_STRATEGY": "index-strategy", "UV_TORCH_BACKEND": "torch-backend",
    "UV_INSECURE_HOST": "allow-insecure-host", "UV_NATIVE_TLS": "system-certs", "UV_SYSTEM_CERTS": "system-certs",
    "UV_OFFLINE": "offline", "UV_PRERELEASE": "prerelease", "UV_EXCLUDE_NEWER": "exclude-newer",
}  # fmt: skip
_PARENTS = 40


def uv_settings(reader: Reader, project: str | None) -> tuple[Setting, ...]:
    """What `uv pip install` and `uv add` would read, weakest first."""
    settings: list[Setting] = []
    for path in uv_files(reader.system, project):
        entries = reader.entries("uv", path, toml)
        if path.endswith("pyproject.toml"):
            entries = tuple(_below(entries, "tool.uv"))
        settings += _rows(path, entries)
    settings += _from_environment(reader.system)
    return (*reader.take_errors(), *in_force(settings, merged=lambda row: row.key in _MERGED))


def uv_files(system: System, project: str | None) -> tuple[str, ...]:
    """The files that uv loads, weakest first."""
    if own := system.env("UV_CONFIG_FILE"):
        return (own,)
    if system.env("UV_NO_CONFIG"):
        return ()
    user = user_file(system)
    nearest = _project_file(system, project) if project else None
    return (*_system_file(system), *([user] if user else []), *([nearest] if nearest else []))


def user_file(system: System) -> str | None:
    """The user's uv.toml; None without a home."""
    home = system.home()
    if system.windows:
        roaming = system.env("APPDATA") or (join(system, home, "AppData", "Roaming") if home else None)
        return join(system, roaming, "uv", "uv.toml") if roaming else None
    base = system.env("XDG_CONFIG_HOME") or (join(system, home, ".config") if home else None)
    return join(system, base, "uv", "uv.toml") if base else None


def _system_file(system: System) -> tuple[str, ...]:
    if system.windows:
        return (join(system, system.env("PROGRAMDATA") or "C:\\ProgramData", "uv", "uv.toml"),)
    folders = (system.env("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    places = (*(join(system, folder, "uv", "uv.toml") for folder in folders if folder), "/etc/uv/uv.toml")
    return tuple(path for path in places if system.exists(path))[:1]


def _project_file(system: System, project: str) -> str | None:
    """The nearest uv.toml or pyproject.toml with a [tool.uv] from `project` upwards; uv.toml wins in one folder."""
    folder = project.rstrip("/\\")
    for _ in range(_PARENTS):
        own = join(system, folder, "uv.toml")
        if system.exists(own):
            return own
        shared = join(system, folder, "pyproject.toml")
        if "[tool.uv" in (system.read(shared).text or ""):
            return shared
        cut = max(folder.rfind("/"), folder.rfind("\\"))
        if cut < 0:
            return None
        folder = folder[:cut]
    return None


def _below(entries: Iterable[Entry], table: str) -> Iterator[Entry]:
    for entry in entries:
        if entry.section == table or entry.section.startswith((f"{table}.", f"{table}[")):
            yield entry.but(section=entry.section.removeprefix(table).lstrip("."))


def _rows(path: str, entries: tuple[Entry, ...]) -> Iterator[Setting]:
    for entry in entries:
        key = _NAMES.get(entry.key, entry.key)
        if entry.section in ("", "pip") and key in KEYS:
            yield _setting(key, entry.value, origin(path, entry.line))
        elif entry.section.startswith("index[") and entry.key == "url":
            flags = {one.key for one in entries if one.section == entry.section and one.value == "true"}
            kind = "default-index" if "default" in flags else "explicit-index" if "explicit" in flags else "index"
            yield _setting(kind, entry.value, origin(path, entry.line))
        elif entry.section.startswith("sources.torch") and entry.key == "index":
            yield _setting(entry.section, entry.value, origin(path, entry.line))


def _from_environment(system: System) -> Iterator[Setting]:
    for name, key in _VARIABLES.items():
        value = system.env(name)
        for item in (value or "").split() if key in _MERGED else [value]:
            if item:
                yield _setting(key, item.split("=", 1)[1] if _is_named(item) else item, name)


def _is_named(item: str) -> bool:
    """Whether an index is given as `name=https://...`."""
    return "://" in item and "=" in item.partition("://")[0]


def _setting(key: str, value: str, where: str) -> Setting:
    return Setting(tool="uv", key=key, value=clean(value, key in _ADDRESSES), origin=where)
