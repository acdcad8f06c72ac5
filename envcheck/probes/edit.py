"""Edits of configuration files that are whole or did not happen, and that can be taken back bit for bit.

Beside an edited file stands one backup, named after what the file became: `pip.conf.envcheck-0123456789ab.bak` holds
the bytes from before the first edit, `….new` says that there was no file. So a backup says by its name for which
content it is the way back, whatever moment a crash chose, and nothing else has to be kept in step with it.
"""

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from envcheck.model.base import Plain
from envcheck.model.errors import EnvcheckError, Exit
from envcheck.model.text import Text, say
from envcheck.probes.rewrite import Edit
from envcheck.probes.system import System

LARGEST = 1 << 20
_BEFORE = ".bak"
_ABSENT = ".new"
_MARK = ".envcheck-"


class Original(Plain, frozen=True):
    """A file as it was found. `data` None: it is not there. `place` is where it really lies, links followed."""

    path: str
    place: Path
    data: bytes | None
    mode: int | None
    owner: tuple[int, int] | None


class Change(Plain, frozen=True):
    """What a file would become: `after` None removes it. `spent` are backups that this one takes the place of."""

    original: Original
    after: bytes | None
    backup: bytes | None = None
    keeps_backup: bool = True
    spent: tuple[Path, ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether the file would stay as it is."""
        return self.original.data == self.after


class Disk:
    """The writes of an edit, one method each, so that a test can let any of them fail."""

    def create(self, place: Path, data: bytes, mode: int) -> None:
        """Write a file that must not be there yet, and see it onto the disk."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(place, flags, mode)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def dress(self, place: Path, mode: int, owner: tuple[int, int] | None) -> None:
        """Give a file the mode and owner of the one whose place it takes."""
        place.chmod(mode)
        status = place.stat()
        if owner is not None and hasattr(os, "chown") and owner != (status.st_uid, status.st_gid):
            os.chown(place, *owner)

    def replace(self, draft: Path, place: Path) -> None:
        """Put a draft in the place of a file, in one step."""
        draft.replace(place)

    def remove(self, place: Path) -> None:
        """Remove a file."""
        place.unlink()

    def settle(self, folder: Path) -> None:
        """See a folder's entries onto the disk (not on Windows)."""
        if os.name == "nt":
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def find(system: System, path: str) -> Original:
    """The file behind `path`, links followed, whether it is there or not.

    Raises:
        EnvcheckError: it is no regular file of ours to write: a folder, a loop, read-only, hard-linked, too large.
    """
    try:
        place = Path(os.path.realpath(system.place(path)))
        if not os.path.lexists(place):
            return Original(path, place, None, None, None)
        status = place.lstat()
        _check(path, place, status)
        with place.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        _fail(path, say("cannot read: {reason}", reason=getattr(error, "strerror", None) or error))
    if len(data) > LARGEST:
        _fail(path, say("too large for a configuration file"))
    return Original(path, place, data, stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid))


def plan(original: Original, edit: Edit) -> Change:
    """What `edit` would make of the file.

    Raises:
        EnvcheckError: the text is not UTF-8, its tool cannot read it, or it is not safe to edit.
    """
    data = original.data or b""
    try:
        text = data.decode("utf-8")
        after = edit.rewrite(text).encode("utf-8")
    except UnicodeDecodeError as error:
        _fail(original.path, say("byte {offset} is not UTF-8 text", offset=error.start))
    except EnvcheckError as error:
        raise EnvcheckError(error.what, where=original.path, mend=error.mend) from None
    earlier = None if after == original.data else _way_back(original)
    if earlier is None:
        return Change(original, after, backup=original.data)
    return Change(original, after, backup=_content(earlier), spent=(earlier,))


def plan_restore(original: Original) -> Change | None:
    """The way back to the bytes from before the first edit; None when the file was never edited.

    Raises:
        EnvcheckError: somebody changed it since; the backups are named.
    """
    earlier = _way_back(original)
    if earlier is not None:
        return Change(original, _content(earlier), keeps_backup=False, spent=(earlier,))
    backups = _backups(original.place)
    if not backups:
        return None
    if any(_content(backup) == original.data for backup in backups):
        return Change(original, original.data, keeps_backup=False, spent=tuple(backups))
    mend = say("the bytes from before are in {backups}", backups=", ".join(str(backup) for backup in backups))
    raise EnvcheckError(say("somebody changed this file since envcheck did"), where=original.path, mend=mend)


def carry_out(change: Change, disk: Disk | None = None) -> Path | None:
    """Make a change; the backup's path, if one is kept. The file holds its old bytes or all of the new ones.

    Raises:
        EnvcheckError: it was changed meanwhile, or the disk refused; then nothing has changed.
    """
    disk = disk or Disk()
    place, path = change.original.place, change.original.path
    backup = _backup_place(place, change) if change.keeps_backup and not change.is_nothing else None
    draft = place.with_name(f".{place.name}{_MARK}{os.getpid()}.part")
    made = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if backup is not None and not _holds(backup, change.backup or b""):
            with suppress(FileNotFoundError):
                disk.remove(backup)
            made = backup
            disk.create(backup, change.backup or b"", 0o600)
        if not change.is_nothing:
            _write(change, draft, disk)
        for spent in change.spent:
            if spent != backup:
                disk.remove(spent)
        disk.settle(place.parent)
    except OSError as error:
        reason = error.strerror or error
        what = say("cannot write: {reason}; nothing was changed", reason=reason)
        if _is_done(change):
            what = say("the file is written, but tidying up failed: {reason}", reason=reason)
        raise EnvcheckError(what, where=path, code=Exit.STEP) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
            if made is not None and not _is_done(change):
                made.unlink(missing_ok=True)
    return backup


def _is_done(change: Change) -> bool:
    return not change.is_nothing and _bytes_of(change.original.place) == change.after


def _write(change: Change, draft: Path, disk: Disk) -> None:
    original = change.original
    if change.after is not None:
        with suppress(FileNotFoundError):
            disk.remove(draft)
        disk.create(draft, change.after, 0o666 if original.mode is None else 0o600)
        if original.mode is not None:
            disk.dress(draft, original.mode, original.owner)
    if _bytes_of(original.place) != original.data:
        what = say("somebody changed this file meanwhile; nothing was changed")
        raise EnvcheckError(what, where=original.path, mend=say("look at it and try again"), code=Exit.STEP)
    if change.after is None:
        disk.remove(original.place)
    else:
        disk.replace(draft, original.place)


def _check(path: str, place: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        _fail(path, say("a link that leads in a circle"))
    if not stat.S_ISREG(status.st_mode):
        _fail(path, say("not a regular file"))
    if status.st_nlink > 1:
        _fail(path, say("has {count} hard links, an edit would part them", count=status.st_nlink))
    if not status.st_mode & 0o222 or not os.access(place, os.W_OK):
        _fail(path, say("is read-only"))


def _fail(path: str, what: Text) -> NoReturn:
    mend = say("`envcheck mirrors use NAME --print` shows the lines to put in by hand")
    raise EnvcheckError(what, where=path, mend=mend)


def _digest(data: bytes | None) -> str:
    return hashlib.sha256(b"absent" if data is None else b"file " + data).hexdigest()[:12]


def _backup_place(place: Path, change: Change) -> Path:
    end = _ABSENT if change.backup is None else _BEFORE
    return place.with_name(f"{place.name}{_MARK}{_digest(change.after)}{end}")


def _way_back(original: Original) -> Path | None:
    """The backup that belongs to the file's present content."""
    stem = f"{original.place.name}{_MARK}{_digest(original.data)}"
    found = (original.place.with_name(stem + end) for end in (_BEFORE, _ABSENT))
    return next((path for path in found if path.is_file()), None)


def _backups(place: Path) -> list[Path]:
    try:
        names = sorted(path for path in place.parent.iterdir() if path.name.startswith(place.name + _MARK))
    except OSError:
        return []
    return [path for path in names if path.suffix in (_BEFORE, _ABSENT)]


def _content(backup: Path) -> bytes | None:
    return None if backup.suffix == _ABSENT else backup.read_bytes()


def _holds(place: Path, data: bytes) -> bool:
    return place.is_file() and not place.is_symlink() and place.read_bytes() == data


def _bytes_of(place: Path) -> bytes | None:
    return place.read_bytes() if os.path.lexists(place) else None
