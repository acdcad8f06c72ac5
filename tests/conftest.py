"""What several tests need: an interpreter without packages, and the environment of a person who has little."""

import sys
import venv
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("calm", deadline=None)  # a busy machine is no fault of ours
settings.load_profile("calm")


def pytest_configure(config: pytest.Config) -> None:
    """Before 3.11, http.client leaves the socket of a tunnel that failed to the collector, which complains."""
    if sys.version_info < (3, 11):
        config.addinivalue_line("filterwarnings", "ignore:unclosed <socket:ResourceWarning")
        config.addinivalue_line(
            "filterwarnings", "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
        )


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of a new virtual environment with nothing in it."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    venv.EnvBuilder(with_pip=False, symlinks=sys.platform != "win32").create(folder)
    return str(folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A small environment with its own home."""
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "USER": "ada", "LANG": "C.UTF-8"}
