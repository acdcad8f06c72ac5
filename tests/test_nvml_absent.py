"""No child is started to load what the loader surely does not find, and the answer is the child's own."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from envcheck.model.facts import Nvidia
from envcheck.probes import nvidia
from envcheck.probes.system import System

CACHE = b"glibc-ld.so.cache1.1\0libc.so.6\0/lib/libc.so.6\0"


class Machine(System):
    """This machine with another cache of its loader."""

    def __init__(self, cache: bytes | None = CACHE, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(environ={} if environ is None else environ, platform="linux", machine="none")
        self._cache = cache

    def read_bytes(self, path: str, cap: int = 65536) -> tuple[bytes | None, str | None]:
        if path != "/etc/ld.so.cache":
            return super().read_bytes(path, cap)
        return self._cache, None if self._cache is not None else "ENOENT"


def look(system: System) -> Nvidia:
    return nvidia.start(system, time.monotonic() + 30).finish()[0]


def test_the_answer_is_that_of_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    names = nvidia.Names(("libnvidia-ml.so.1.envcheck",), ("libcuda.so.1.envcheck",))
    monkeypatch.setattr(nvidia, "_names", lambda _system: names)
    quick = look(Machine())
    monkeypatch.setattr(nvidia, "_nowhere", lambda _system, _names: False)
    assert look(Machine()).libraries == quick.libraries
    assert [one.name for one in quick.libraries] == [*names.nvml, *names.cuda]


def test_no_child_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "_worker", lambda *_: pytest.fail("a child was started"))
    monkeypatch.setattr(nvidia, "_names", lambda _system: nvidia.Names(("libnone.so.1",), ("libnil.so.1",)))
    assert look(Machine()).gpus is None


@pytest.mark.parametrize(
    "machine",
    [
        Machine(cache=CACHE + b"libcuda.so.1\0"),
        Machine(cache=CACHE + b"libnvidia-ml.so.1\0"),
        Machine(cache=None),
        Machine(cache=b"something else"),
        Machine(cache=b""),
        Machine(environ={"LD_LIBRARY_PATH": "/opt/lib"}),
    ],
    ids=["cuda in the cache", "nvml in the cache", "no cache", "no cache of glibc", "empty", "a path of one's own"],
)
def test_the_child_is_asked_where_something_may_be_found(machine: System) -> None:
    assert not nvidia._nowhere(machine, nvidia.Names(("libnvidia-ml.so.1",), ("libcuda.so.1",)))


def test_the_child_is_asked_where_a_library_lies_beside_the_usual_places(tmp_path: Path) -> None:
    names = nvidia.Names(("libnvidia-ml.so.1", str(tmp_path / "libnvidia-ml.so.1")), ("libcuda.so.1",))
    assert not nvidia._nowhere(Machine(), names)


def test_the_child_is_asked_where_a_library_lies_beside_the_interpreters_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libcuda.so.1").touch()
    names = nvidia.Names(("libnvidia-ml.so.1",), ("libcuda.so.1",))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert not nvidia._nowhere(Machine(), names)
