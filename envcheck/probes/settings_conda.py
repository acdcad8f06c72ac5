"""conda's configuration: the condarc files of its search path, then CONDA_* variables; mamba's own files after them.

The search path is that of conda 26 (`conda/base/constants.py`, documented under "Searching for .condarc"), weakest
first. Lists and mappings of several files are merged, of any other key the strongest file decides.
"""

from collections.abc import Iterator

from envcheck.model.facts import Python, Setting
from envcheck.probes.configfiles import yaml
from envcheck.probes.settings_reader import Reader, clean, in_force, join, origin
from envcheck.probes.system import System

LISTS = ("channels", "default_channels", "allowlist_channels", "denylist_channels", "pinned_packages", "pkgs_dirs")
MAPPINGS = ("custom_channels", "custom_multichannels", "mirrored_channels", "proxy_servers")
SCALARS = (
    "channel_alias", "channel_priority", "ssl_verify", "offline", "solver", "experimental_solver", "subdir",
    "override_channels_enabled", "restore_free_channel", "use_only_tar_bz2", "pip_interop_enabled",
)  # fmt: skip
_NAMES = (".condarc", "condarc", "condarc.d")
_MAMBA = ".mambarc"


def conda_settings(reader: Reader, python: Python) -> tuple[Setting, ...]:
    """What `conda install` (tool `conda`) and `mamba install` (tool `mamba`, its own files) would read."""
    system = reader.system
    settings: list[Setting] = []
    for path in conda_files(system, python):
        settings += _rows(reader, "conda", path)
    settings += _from_environment(system)
    mamba = [row for path in _mamba_files(system) for row in _rows(reader, "mamba", path)]
    return (*reader.take_errors(), *in_force(settings, merged=_merged), *in_force(mamba, merged=_merged))


def conda_files(system: System, python: Python) -> tuple[str, ...]:
    """The condarc files that exist, weakest first."""
    folders = ["C:\\ProgramData\\conda"] if system.windows else ["/etc/conda", "/var/lib/conda"]
    home = system.home()
    root = conda_root(system)
    config = system.env("XDG_CONFIG_HOME")
    prefix = system.env("CONDA_PREFIX") or (python.prefix if python.kind == "conda" else None)
    folders += [root] if root else []
    folders += [join(system, config, "conda")] if config else []
    folders += [join(system, home, ".config", "conda"), join(system, home, ".conda")] if home else []
    paths = [path for folder in folders for path in _in_folder(system, folder)]
    user = user_file(system)
    paths += [user] if user else []
    paths += [path for folder in ([prefix] if prefix else []) for path in _in_folder(system, folder)]
    own = system.env("CONDARC")
    paths += [own] if own else []
    return tuple(dict.fromkeys(paths))


def user_file(system: System) -> str | None:
    """The user's .condarc, which `conda config` writes; None without a home."""
    home = system.home()
    return join(system, home, ".condarc") if home else None


def conda_root(system: System) -> str | None:
    """The prefix of the base installation, after CONDA_EXE or the `conda` on PATH."""
    program = system.env("CONDA_EXE") or system.which("conda", trusted=False)
    if not program:
        return None
    parts = program.replace("\\", "/").split("/")
    folder = "/".join(parts[:-2])
    return (folder.replace("/", "\\") if system.windows else folder) or None


def _in_folder(system: System, folder: str) -> Iterator[str]:
    for name in _NAMES:
        path = join(system, folder, name)
        if name != "condarc.d":
            if system.exists(path):
                yield path
            continue
        for file in system.listdir(path) or ():
            if file.endswith((".yml", ".yaml")):
                yield join(system, path, file)


def _mamba_files(system: System) -> tuple[str, ...]:
    home, root, own = system.home(), system.env("MAMBA_ROOT_PREFIX"), system.env("MAMBARC")
    paths = [join(system, root, name) for name in (*_NAMES[:2], _MAMBA)] if root else []
    paths += [join(system, home, _MAMBA)] if home else []
    return tuple(path for path in (*paths, *([own] if own else [])) if system.exists(path))


def _rows(reader: Reader, tool: str, path: str) -> Iterator[Setting]:
    for entry in reader.entries(tool, path, yaml):
        head = entry.key.partition(".")[0]
        if head in LISTS or head in MAPPINGS or entry.key in SCALARS:
            value = clean(entry.value, is_address=_is_address(entry.value))
            yield Setting(tool=tool, key=_safe_key(entry.key), value=value, origin=origin(path, entry.line))


def _from_environment(system: System) -> Iterator[Setting]:
    for key in (*LISTS, *SCALARS):
        name = f"CONDA_{key.upper()}"
        value = system.env(name)
        for item in (value or "").split(",") if key in LISTS else [value]:
            if item and item.strip():
                text = clean(item.strip(), is_address=_is_address(item))
                yield Setting(tool="conda", key=key, value=text, origin=name)


def _is_address(value: str) -> bool:
    return "://" in value or "@" in value or "/t/" in value


def _safe_key(key: str) -> str:
    """`proxy_servers` may be keyed by an address, which may hold a password."""
    head, dot, rest = key.partition(".")
    return head + dot + (clean(rest, is_address=True) if _is_address(rest) else rest)


def _merged(row: Setting) -> bool:
    return row.key in LISTS or row.key.startswith(("custom_multichannels.", "mirrored_channels."))
