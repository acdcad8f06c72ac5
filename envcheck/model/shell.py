"""Commands as people paste them: argv to one line, quoted for sh, cmd or PowerShell."""

import shlex
from collections.abc import Sequence
from typing import Literal

Shell = Literal["sh", "cmd", "powershell"]

_CMD_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.,:/\\+@~")
_POWERSHELL_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.:/\\+~")


def join(argv: Sequence[str], shell: Shell = "sh") -> str:
    """One line that the shell splits back into `argv`."""
    if shell == "sh":
        return shlex.join(argv)
    if shell == "cmd":
        return " ".join(_cmd(word) for word in argv)
    head, *rest = (_powershell(word) for word in argv)
    call = "& " + head if head.startswith("'") else head
    return " ".join((call, *rest))


def _cmd(word: str) -> str:
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
    if word and all(char in _POWERSHELL_SAFE for char in word):
        return word
    return "'" + word.replace("'", "''") + "'"
