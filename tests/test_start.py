"""What a start does not import. Start-up time is part of the product, and is not measured here but counted."""

import subprocess
import sys
from pathlib import Path

import pytest

LISTING = """
import os, sys
sys.argv = ["envcheck", *sys.argv[1:]]

def leave(code):
    print(*sys.modules, file=sys.__stderr__, flush=True)
    exit_at_once(code)

exit_at_once, os._exit = os._exit, leave
from envcheck.__main__ import main
main()
"""
HEAVY = {
    "asyncio", "babel", "concurrent.futures", "ctypes", "dataclasses", "difflib", "email", "html.parser",
    "http.client", "importlib.metadata", "json", "logging", "lzma", "matplotlib", "multiprocessing", "numpy",
    "packaging", "platformdirs", "rich", "shutil", "socket", "ssl", "sysconfig", "tempfile", "tomli", "tomllib",
    "torch", "typing_extensions", "urllib.request", "yaml", "zipfile",
}  # fmt: skip
"""Each takes milliseconds, and none is needed by the commands below."""
IDLE = {"ast", "dis", "tokenize"}
"""What `inspect` brings along, which click imports and we do not use."""
LIGHT = {"envcheck.probes", "envcheck.probes.headstart", "envcheck.probes.launch"}
"""What `doctor` starts with; it needs nothing that Python has not loaded anyway."""
PASTED = """
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    model.to("cuda")
AssertionError: Torch not compiled with CUDA enabled
"""


@pytest.fixture(scope="module")
def bare() -> set[str]:
    """What the interpreter itself imports at its start here."""
    return modules_of(["-c", "import sys; print(*sys.modules, file=sys.stderr)"])


def modules_of(words: list[str]) -> set[str]:
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    return set(ended.stderr.splitlines()[-1].split())


def started(*words: str) -> set[str]:
    return modules_of(["-c", LISTING, *words])


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["--lang", "zh", "--help"]])
def test_help_needs_click_and_little_else(bare: set[str], words: list[str]) -> None:
    loaded = started(*words) - bare
    assert "click" in loaded
    assert not loaded & (HEAVY | {"msgspec", "subprocess", "pathlib", "signal"})
    assert not {name for name in loaded - LIGHT if name.startswith(("envcheck.diagnosis", "envcheck.probes"))}


def test_the_help_of_a_command_needs_no_work_of_it(bare: set[str]) -> None:
    loaded = started("doctor", "--help") - bare
    assert not loaded & (HEAVY | {"subprocess", "pathlib"})
    assert not {name for name in loaded - LIGHT if name.startswith(("envcheck.diagnosis", "envcheck.probes"))}


def test_the_version_does_not_inspect(bare: set[str]) -> None:
    assert not (started("--version") - bare) & IDLE


@pytest.mark.parametrize("face", ["console", "json"])
def test_a_look_without_torch(bare: set[str], face: str) -> None:
    loaded = started("doctor", "--no-torch", "--format", face) - bare
    assert "envcheck.diagnosis.diagnose" in loaded
    assert not loaded & (HEAVY | IDLE | {"pathlib", "ipaddress", "urllib.parse"})
    assert ("envcheck.render.console" in loaded) is (face == "console")
    assert not {name for name in loaded if name.startswith(("envcheck.recommend", "envcheck.gradients."))}


def test_a_plan(bare: set[str]) -> None:
    loaded = started("install", "--dry-run") - bare
    assert "envcheck.recommend.resolve" in loaded
    assert not loaded & (HEAVY | IDLE | {"pathlib"})
    assert not {name for name in loaded if name.startswith(("envcheck.diagnosis", "envcheck.gradients."))}


def test_a_page_that_was_pasted(bare: set[str], tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_text(PASTED, encoding="utf-8")
    loaded = started("doctor", "--from", str(page)) - bare
    assert "envcheck.diagnosis.evidence" in loaded
    assert not loaded & (HEAVY | {"subprocess"})
    assert not {name for name in loaded - LIGHT if name.startswith("envcheck.probes")}


def test_a_module_that_waits_is_itself_once_it_is_asked(bare: set[str]) -> None:
    code = "from envcheck.__main__ import _Later; import sys; sys.modules['colorsys'] = _Later('colorsys'); "
    code += "import colorsys; early = 'ONE_THIRD' in vars(colorsys); value = colorsys.rgb_to_hsv(1, 1, 1); "
    code += "again = sys.modules['colorsys'].rgb_to_hsv is colorsys.rgb_to_hsv; "
    code += "print(early, value, again, hasattr(colorsys, 'nothing'), file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stderr == "False (0.0, 0.0, 1) True False\n"


def test_a_module_of_a_package_that_waits_is_the_module_and_not_the_package() -> None:
    code = (
        "from envcheck.__main__ import _Later; import sys; sys.modules['msgspec.inspect'] = _Later('msgspec.inspect'); "
    )
    code += "import msgspec; early = 'type_info' in vars(sys.modules['msgspec.inspect']); "
    code += "print(early, msgspec.inspect.type_info(int) == msgspec.inspect.IntType(), file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stderr == "False True\n"
