"""Edits on disk: old bytes or new bytes whatever happens, and the old ones back on demand."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from envcheck.model.errors import EnvcheckError, Exit
from envcheck.probes.edit import Change, Disk, carry_out, find, plan, plan_restore
from envcheck.probes.rewrite import Edit
from envcheck.probes.rewrite_conda import conda_channels
from envcheck.probes.rewrite_pip import pip_index
from envcheck.probes.system import System

URL = "https://m.example/simple"
OLD = b"# mine\r\n[global]\r\nindex-url = https://old/simple\r\nunknown-key = kept\r\n"
NEW = OLD.replace(b"https://old/simple", URL.encode())
PIP = pip_index(URL)
STEPS = ("create", "dress", "replace", "remove", "settle")


def use(path: Path, edit: Edit = PIP, disk: Disk | None = None) -> Path | None:
    return carry_out(plan(find(System(), str(path)), edit), disk)


def restore(path: Path, disk: Disk | None = None) -> bool:
    change = plan_restore(find(System(), str(path)))
    if change is not None:
        carry_out(change, disk)
    return change is not None


def litter(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if "envcheck" in path.name)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "pip.conf"
    path.write_bytes(OLD)
    path.chmod(0o640)
    return path


def test_edit_and_back(conf: Path) -> None:
    backup = use(conf)
    assert backup is not None
    assert (conf.read_bytes(), conf.stat().st_mode & 0o777) == (NEW, 0o640)
    assert (backup.read_bytes(), backup.stat().st_mode & 0o777) == (OLD, 0o600)
    assert restore(conf)
    assert (conf.read_bytes(), conf.stat().st_mode & 0o777, litter(conf.parent)) == (OLD, 0o640, [])
    assert not restore(conf)


@pytest.mark.parametrize("folder", ["", "deep/er"])
def test_absent_file_is_made_and_removed_again(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "pip.conf"
    use(path)
    assert path.read_text() == f"[global]\nindex-url = {URL}\n"
    assert restore(path)
    assert not path.exists()
    assert litter(path.parent) == []


def test_empty_file(conf: Path) -> None:
    conf.write_bytes(b"")
    use(conf)
    assert restore(conf)
    assert conf.read_bytes() == b""


def test_second_mirror_keeps_the_way_back_to_the_first_bytes(conf: Path) -> None:
    use(conf)
    use(conf, pip_index("https://other.example/simple"))
    assert b"other.example" in conf.read_bytes()
    assert len(litter(conf.parent)) == 1
    restore(conf)
    assert (conf.read_bytes(), litter(conf.parent)) == (OLD, [])


def test_same_mirror_twice_changes_nothing(conf: Path) -> None:
    use(conf)
    before = litter(conf.parent)
    assert plan(find(System(), str(conf)), PIP).is_nothing
    assert use(conf) is None
    assert litter(conf.parent) == before
    restore(conf)
    assert conf.read_bytes() == OLD


def test_changed_since_is_not_restored(conf: Path) -> None:
    backup = use(conf)
    conf.write_bytes(NEW + b"pre = true\r\n")
    with pytest.raises(EnvcheckError, match="somebody changed") as caught:
        restore(conf)
    assert caught.value.mend is not None
    assert str(backup) in caught.value.mend.values["backups"]
    assert conf.read_bytes() == NEW + b"pre = true\r\n"
    # an edit on top of it goes back to what the person had made
    use(conf, pip_index("https://other.example/simple"))
    restore(conf)
    assert conf.read_bytes() == NEW + b"pre = true\r\n"
    # put back by hand: the backups have served
    conf.write_bytes(OLD)
    assert restore(conf)
    assert litter(conf.parent) == []


def test_symlink_is_followed_and_stays(conf: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.conf"
    link.symlink_to("pip.conf")
    use(link)
    assert link.is_symlink()
    assert conf.read_bytes() == NEW
    restore(link)
    assert link.is_symlink()
    assert conf.read_bytes() == OLD


def test_dangling_symlink_gets_its_target(tmp_path: Path) -> None:
    link = tmp_path / "pip.conf"
    link.symlink_to(tmp_path / "dotfiles" / "pip.conf")
    use(link)
    assert link.is_symlink()
    assert URL in link.read_text()
    restore(link)
    assert link.is_symlink()
    assert not link.exists()


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "loop": (_loop, "circle"),
    "folder": (_folder, "not a regular file"),
    "pipe": (_pipe, "not a regular file"),
    "read-only": (lambda path: path.chmod(0o440), "read-only"),
    "hard link": (lambda path: path.with_name("twin").hardlink_to(path), "2 hard links"),
    "huge": (lambda path: path.write_bytes(b"#" * (5 << 20)), "too large"),
    "latin-1": (lambda path: path.write_bytes(b"[global]\n# \xe9\n"), "byte 11 is not UTF-8"),
    "utf-16": (lambda path: path.write_bytes("[global]\n".encode("utf-16")), "byte 0 is not UTF-8"),
    "BOM": (lambda path: path.write_bytes(b"\xef\xbb\xbf[global]\n"), "byte order mark"),
    "doubles": (lambda path: path.write_bytes(b"[global]\na = 1\na = 2\n"), "twice"),
    "invalid": (lambda path: path.write_bytes(b"index-url = x\n"), "cannot read this file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_with_the_place_and_untouched(conf: Path, kind: str) -> None:
    prepare, reason = REFUSED[kind]
    prepare(conf)
    before = conf.read_bytes() if conf.is_file() else None
    with pytest.raises(EnvcheckError, match=reason) as caught:
        use(conf)
    assert (caught.value.where, caught.value.code) == (str(conf), Exit.USAGE)
    assert caught.value.mend is not None
    assert before is None or conf.read_bytes() == before
    assert litter(conf.parent) == []


def test_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "pip").write_text("a file")
    with pytest.raises(EnvcheckError, match=r"nothing was changed|cannot read"):
        use(tmp_path / "pip" / "pip.conf")


def test_changed_between_plan_and_write(conf: Path) -> None:
    change = plan(find(System(), str(conf)), PIP)
    conf.write_bytes(b"[global]\nindex-url = somebody else\n")
    with pytest.raises(EnvcheckError, match="meanwhile") as caught:
        carry_out(change)
    assert caught.value.code == Exit.STEP
    assert conf.read_bytes() == b"[global]\nindex-url = somebody else\n"
    assert litter(conf.parent) == []


class Failing(Disk):
    """Fails with an error at the n-th write, or lets the process be killed just before or after it."""

    def __init__(self, fails_at: int, what: int | str) -> None:
        self.count, self._at, self._what = 0, fails_at, what

    def _step(self, real: Callable[..., None], *arguments: object) -> None:
        self.count += 1
        if self.count != self._at:
            real(*arguments)
        elif isinstance(self._what, int):
            if real.__name__ == "create" and self._what == errno.ENOSPC:  # the disk is full halfway
                Path(str(arguments[0])).write_bytes(b"half")
            raise OSError(self._what, os.strerror(self._what))
        else:
            if self._what == "after":
                with suppress(FileNotFoundError):
                    real(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)


def _wrap(name: str) -> Callable[..., None]:
    return lambda self, *arguments: self._step(getattr(super(Failing, self), name), *arguments)


for _name in STEPS:
    setattr(Failing, _name, _wrap(_name))


def counted(work: Callable[[Disk], object]) -> int:
    disk = Failing(-1, 0)
    work(disk)
    return disk.count


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT])
def test_every_write_may_fail(conf: Path, code: int) -> None:
    steps = counted(lambda disk: use(conf, disk=disk))
    restore(conf)
    assert steps >= 5
    for step in range(1, steps + 1):
        with pytest.raises(EnvcheckError) as caught:
            use(conf, disk=Failing(step, code))
        assert caught.value.code == Exit.STEP
        assert conf.stat().st_mode & 0o777 == 0o640
        done = "tidying" in caught.value.what.msgid
        assert conf.read_bytes() == (NEW if done else OLD)
        assert litter(conf.parent) == [] or done
        restore(conf)
        assert (conf.read_bytes(), litter(conf.parent)) == (OLD, [])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_every_write_of_a_restore_may_fail(conf: Path, code: int) -> None:
    use(conf)
    steps = counted(lambda disk: restore(conf, disk))
    for step in range(1, steps + 1):
        use(conf)
        with pytest.raises(EnvcheckError):
            restore(conf, Failing(step, code))
        assert conf.read_bytes() in (OLD, NEW)
        restore(conf)
        assert (conf.read_bytes(), litter(conf.parent)) == (OLD, [])


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from test_edit_files import Failing, restore, use
path, work, step, when = sys.argv[2:]
disk = Failing(int(step), when)
use(Path(path), disk=disk) if work == "use" else restore(Path(path), disk)
"""


@pytest.mark.parametrize("work", ["use", "restore"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("exists", [True, False])
def test_killed_at_every_step(conf: Path, work: str, when: str, exists: bool) -> None:
    old, new = (OLD, NEW) if exists else (None, f"[global]\nindex-url = {URL}\n".encode())

    def content() -> bytes | None:
        return conf.read_bytes() if conf.exists() else None

    def fresh() -> None:
        for name in ("pip.conf", *litter(conf.parent)):
            (conf.parent / name).unlink(missing_ok=True)
        if old is not None:
            conf.write_bytes(old)
        if work == "restore":
            use(conf)

    fresh()
    steps = counted(lambda disk: use(conf, disk=disk) if work == "use" else restore(conf, disk))
    for step in range(1, steps + 1):
        fresh()
        command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(conf), work, str(step), when]
        killed = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, timeout=60, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert content() in (old, new)
        use(conf)  # whatever lies there, the next edit and its way back work
        assert content() == new
        restore(conf)
        assert content() == old
        assert [name for name in litter(conf.parent) if not name.endswith(".part")] == []


def test_interrupt_leaves_nothing(conf: Path) -> None:
    class Interrupted(Disk):
        def replace(self, draft: Path, place: Path) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use(conf, disk=Interrupted())
    assert (conf.read_bytes(), litter(conf.parent)) == (OLD, [])


def test_fake_root(tmp_path: Path) -> None:
    system = System(tmp_path, {}, "linux")
    change: Change = plan(find(system, "/home/u/.condarc"), conda_channels({"pytorch": "https://m/cloud"}, []))
    carry_out(change)
    assert (tmp_path / "home/u/.condarc").read_text() == "custom_channels:\n  pytorch: https://m/cloud\n"
