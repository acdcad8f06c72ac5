"""Regular expressions that are compiled when they are first used.

There are about a hundred, a run uses a few of them, and compiling takes 0.1 ms each.
"""

import re
from typing import Any, AnyStr, cast

_METHODS = ("search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn", "pattern", "flags")


def regex(source: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """What `re.compile` gives, made at its first use."""
    return cast("re.Pattern[AnyStr]", _Later(source, flags))


class _Later:
    """Stands in for a pattern; afterwards its methods are the pattern's own."""

    def __init__(self, source: Any, flags: int) -> None:
        self._asked = source, flags

    def __getattr__(self, name: str) -> Any:
        if name in _METHODS:
            made = re.compile(*self._asked)
            self.__dict__.update((method, getattr(made, method)) for method in _METHODS)
        return object.__getattribute__(self, name)
