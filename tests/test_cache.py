"""Where envcheck keeps what it learnt: the folder that platformdirs names, found without it."""

from pathlib import Path

import pytest
from platformdirs import user_cache_dir

from envcheck.commands.cache import folder
from envcheck.commands.world import World


@pytest.mark.parametrize("base", [None, "", "relative", "/elsewhere", "/with/slash/"])
def test_the_folder_is_the_one_that_platformdirs_names(monkeypatch: pytest.MonkeyPatch, base: str | None) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("ENVCHECK_CACHE", raising=False)
    if base is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", base)
    assert Path(folder(World()) or "") == Path(user_cache_dir("envcheck", appauthor=False))
