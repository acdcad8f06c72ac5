"""Commands as people paste them: argv to one line, quoted for sh, cmd or PowerShell.

Redacted facts say `~` for the home directory and `$USER` for the user's name. Both become the shell's own words for
them, so that a command made of redacted paths does what it says where it is pasted.
"""

import re
import shlex
from collections.abc import Sequence
from typing import Literal

from envcheck.model.patterns import regex

Shell = Literal["sh", "cmd", "powershell"]

HOME = "~"
USER = "$USER"
_PLACES = regex(r"(\A~(?=\Z|[/\\])|\$USER(?![A-Za-z0-9_]))")
_SH_PLACES = regex(r"(\A~(?=\Z|/)|\$USER(?![A-Za-z0-9_]))")
"""The same for sh, to which a home with a backslash behind it is a name like any other."""

_CMD_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.,:/\\+@~")
_POWERSHELL_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.:/\\+~")


def quote(word: str, shell: Shell = "sh") -> str:
    """One word of a line, quoted where it has to be."""
    return _sh(word) if shell == "sh" else _cmd(word) if shell == "cmd" else _powershell(word)


def join(argv: Sequence[str], shell: Shell = "sh") -> str:
    """One line that the shell splits back into `argv`."""
    if shell != "powershell":
        return " ".join(quote(word, shell) for word in argv)
    head, *rest = (_powershell(word) for word in argv)
    call = "& " + head if head.startswith(("'", '"')) else head
    return " ".join((call, *rest))


def _sh(word: str) -> str:
    first, *others = _SH_PLACES.split(word)
    line = shlex.quote(first) if first or not others else ""
    for place, text in zip(others[::2], others[1::2], strict=True):
        if place == HOME:  # its slash must not be quoted, or the shell leaves it as it is
            line += HOME + text[:1] + (shlex.quote(text[1:]) if text[1:] else "")
        else:
            line += f'"{place}"' + (shlex.quote(text) if text else "")
    return line


def _cmd(word: str) -> str:
    word = _PLACES.sub(lambda place: "%USERPROFILE%" if place[0] == HOME else "%USERNAME%", word)
    if word and all(char in _CMD_SAFE for char in word):
        return word
    # The C runtime's rule: backslashes before a quote are doubled; % has no escape inside quotes at a prompt.
    quoted, backslashes = '"', 0
    for char in word:
        if char == "\\":
            backslashes += 1
            continue
        quoted += "\\" * (backslashes * 2 + 1 if char == '"' else backslashes) + char
        backslashes = 0
    return quoted + "\\" * (backslashes * 2) + '"'


def _powershell(word: str) -> str:
    if _PLACES.search(word):
        escaped = re.sub(r'([`"$])', r"`\1", _PLACES.sub(lambda place: "\0" if place[0] == HOME else "\1", word))
        return '"' + escaped.replace("\0", "$HOME").replace("\1", "${env:USERNAME}") + '"'
    if word and all(char in _POWERSHELL_SAFE for char in word):
        return word
    return "'" + word.replace("'", "''") + "'"
