"""Where pip, uv and conda are told to take packages from, read from their files and variables; no tool is run."""

import time

from envcheck.model.facts import Observation, Python, Setting, Tool
from envcheck.probes.outcome import since
from envcheck.probes.settings_conda import conda_settings
from envcheck.probes.settings_pip import pip_settings
from envcheck.probes.settings_reader import Reader
from envcheck.probes.settings_uv import uv_settings
from envcheck.probes.system import System
from envcheck.probes.tools import tools_on_path


def look(
    system: System, python: Python, project: str | None = None
) -> tuple[tuple[Setting, ...], tuple[Tool, ...], tuple[Observation, ...]]:
    """Settings (a tool's weakest first), programs on PATH, and how the look went.

    `project` is the directory in which uv looks for a project, the working directory as a rule; None: none.
    A file that cannot be used is named in the observation's detail.
    """
    begun = time.monotonic()
    reader = Reader(system)
    settings = (*pip_settings(reader, python), *uv_settings(reader, project), *conda_settings(reader, python))
    tools = tools_on_path(system)
    seen = Observation(look="settings", state="ok", ms=since(begun), detail="; ".join(reader.notes) or None)
    return settings, tools, (seen,)
