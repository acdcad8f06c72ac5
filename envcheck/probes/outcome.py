"""How things end, in words: states of processes, names of signals and errors, text of bytes. Pure."""

import errno
import time

from envcheck.model.facts import State

_WINDOWS_CRASHES = {
    0xC0000005: "ACCESS_VIOLATION",
    0xC000001D: "ILLEGAL_INSTRUCTION",
    0xC0000096: "PRIVILEGED_INSTRUCTION",
    0xC00000FD: "STACK_OVERFLOW",
    0xC0000135: "DLL_NOT_FOUND",
    0xC0000374: "HEAP_CORRUPTION",
    0xC0000409: "STACK_BUFFER_OVERRUN",
}
_SHELL_CRASHES = ("SIGILL", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGSEGV", "SIGSYS", "SIGTRAP")


def verdict(ended: bool, returncode: int | None) -> tuple[State, str | None, str | None]:
    """State, signal and detail of a process that ended by itself or was killed at its limit."""
    if not ended:
        return "timeout", None, "does not die" if returncode is None else None
    if returncode is None or returncode == 0:
        return "ok", None, None
    name = signal_of(returncode)
    return ("crashed" if name else "failed"), name, None


def signal_of(returncode: int) -> str | None:
    """`SIGSEGV` for -11 and for a shell's 139; Windows' crash codes by their name; None for an ordinary code."""
    if returncode & 0xFFFFFFFF in _WINDOWS_CRASHES:
        return _WINDOWS_CRASHES[returncode & 0xFFFFFFFF]
    from signal import Signals

    number = -returncode if returncode < 0 else returncode - 128
    try:
        name = Signals(number).name
    except ValueError:
        return f"signal {number}" if returncode < 0 else None
    return name if returncode < 0 or name in _SHELL_CRASHES else None


def error_name(error: BaseException) -> str:
    """`ENOENT`, `EACCES`, ... of an OSError; the class' name of anything else (`EINVAL` for a bad path)."""
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode.get(error.errno, f"E{error.errno}")
    return "EINVAL" if isinstance(error, ValueError) else type(error).__name__


def decode(data: bytes, legacy: str | None = None) -> str:
    r"""Text of bytes that should be UTF-8; UTF-16 with its mark is read too.

    What is neither is read in `legacy`, the code page that Windows has for it; without one, such bytes become `\xNN`.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(legacy, "replace") if legacy else data.decode("utf-8", "backslashreplace")


def since(begun: float) -> float:
    """Milliseconds since `begun`, an instant of `time.monotonic`."""
    return round((time.monotonic() - begun) * 1000, 1)
