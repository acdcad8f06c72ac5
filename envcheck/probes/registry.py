r"""Windows' registry, read only. On a fake root a key is a directory below /registry, its values lines of `@values`.

`HKLM\SYSTEM\...` and `HKCU\...`; values come as text.
"""

import contextlib
import sys
from typing import Any

from envcheck.probes.system import System


def values(system: System, key: str) -> dict[str, str]:
    """Names and values of a key; empty when it is not there."""
    if system.fake:
        lines = (system.read(f"{_place(key)}/@values").text or "").splitlines()
        return {name: value for name, mark, value in (line.partition("=") for line in lines) if mark}
    found: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError), _open(key) as handle:
        for number in range(1024):
            name, value, _ = _winreg().EnumValue(handle, number)
            found[name] = value if isinstance(value, str) else str(value)
    return found


def keys(system: System, key: str) -> tuple[str, ...]:
    """Names of the keys below a key."""
    if system.fake:
        return tuple(name for name in system.listdir(_place(key)) or () if name != "@values")
    found: list[str] = []
    with contextlib.suppress(OSError, ValueError), _open(key) as handle:
        found.extend(_winreg().EnumKey(handle, number) for number in range(1024))
    return tuple(found)


def _place(key: str) -> str:
    return "/registry/" + key.replace("\\", "/")


def _winreg() -> Any:
    if sys.platform != "win32":
        raise OSError("no registry here")
    import winreg

    return winreg


def _open(key: str) -> Any:
    hive, _, path = key.partition("\\")
    registry = _winreg()
    root = registry.HKEY_CURRENT_USER if hive == "HKCU" else registry.HKEY_LOCAL_MACHINE
    return registry.OpenKey(root, path)
