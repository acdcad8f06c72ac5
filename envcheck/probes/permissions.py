"""Who may do what with a file."""

import os
import stat

from envcheck.probes.outcome import error_name


def open_error(place: str) -> str | None:
    """What open(2) for reading and writing says; None when it is granted."""
    try:
        os.close(os.open(place, os.O_RDWR | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)))
    except OSError as error:
        return error_name(error)
    return None


def group_name(number: int) -> str:
    """The group's name, or its number where it has none."""
    try:
        import grp

        return grp.getgrgid(number).gr_name
    except (ImportError, KeyError, OSError):
        return str(number)


def writable_by_others(place: str) -> bool:
    """Whether somebody other than root and us could have put a program at `place` (POSIX)."""
    if not hasattr(os, "geteuid"):
        return False
    ours = (0, os.geteuid())
    for path in (os.path.realpath(place), os.path.realpath(os.path.dirname(place))):
        status = os.stat(path)
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        group_writes = status.st_mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid())
        if status.st_uid not in ours or group_writes or (status.st_mode & stat.S_IWOTH and not sticky):
            return True
    return False
