"""The base of every value: frozen, keyword-only, unknown fields refused.

msgspec and not dataclasses: forty frozen dataclasses take about 40 ms to create at every start,
forty structs 1 ms, and the codec names the path of what it refuses. Structs do not inherit `kw_only`, and
type checkers want `frozen` said again: every value is `class Name(Value, frozen=True, kw_only=True)`.
"""

import sys
from typing import Any, TypeVar

# Where typing_extensions is installed (beside torch it always is) msgspec takes `get_type_hints` from there, which
# costs 3 ms, and with `inspect` 8. The standard library's does for us.
_unseen = "typing_extensions" not in sys.modules
if _unseen:
    sys.modules["typing_extensions"] = None  # type: ignore[assignment] # Python's own sign for "not to be imported"
import msgspec  # noqa: E402 - after that

if _unseen:
    del sys.modules["typing_extensions"]


Own = TypeVar("Own", bound="Plain")


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen, keyword-only value that the JSON codec can write and read back."""


class Plain(msgspec.Struct, frozen=True):
    """A value inside one room, made by position or by name: a tenth of what a NamedTuple costs at every start."""

    def but(self: Own, **changes: Any) -> Own:  # noqa: PYI019 - Self is not in every Python's typing
        """The same value with some fields changed."""
        return msgspec.structs.replace(self, **changes)
