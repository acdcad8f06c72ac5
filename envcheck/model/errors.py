"""What ends a command early, and the one table of exit codes."""

from enum import IntEnum

from envcheck.model.text import Text


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    """Nothing wrong."""
    FINDING = 1
    """A finding at or above --fail-on, or a check failed."""
    USAGE = 2
    """Usage, unreadable input or configuration."""
    UNKNOWN = 3
    """Could not tell: a look that was needed died."""
    STEP = 4
    """A step of install failed."""
    INTERRUPTED = 130
    """Interrupted."""


class EnvcheckError(Exception):
    """An error that a person caused or can mend: printed as one line, never as a traceback.

    `what` happened, `where` (a file and line, an option, a field; may be empty), how to `mend` it.
    """

    def __init__(self, what: Text, *, where: str = "", mend: Text | None = None, code: Exit = Exit.USAGE) -> None:
        super().__init__(what.english())
        self.what = what
        self.where = where
        self.mend = mend
        self.code = code
