"""Environment variables as people show them: `NAME=value`, `export`, `$env:`, `echo $NAME`, `os.environ[...]`."""

import re

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page, command_of
from envcheck.model.facts import Variable
from envcheck.model.patterns import regex

_NAMES = (
    r"CUDA_VISIBLE_DEVICES|NVIDIA_VISIBLE_DEVICES|LD_LIBRARY_PATH|LD_PRELOAD|CUDA_HOME|CUDA_PATH|CUDA_DEVICE_ORDER"
    r"|HSA_OVERRIDE_GFX_VERSION|HIP_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES|KMP_DUPLICATE_LIB_OK|PYTHONPATH|PYTHONNOUSERSITE"
    r"|PYTORCH_NVML_BASED_CUDA_CHECK|PYTORCH_CUDA_ALLOC_CONF|SLURM_JOB_ID|SLURM_JOB_GPUS|SLURM_GPUS_ON_NODE|CONDA_PREFIX"
    r"|VIRTUAL_ENV|HTTPS?_PROXY|https?_proxy|ALL_PROXY|all_proxy|NO_PROXY|no_proxy"
)
_ASSIGN = regex(
    rf"(?:^|[\s;:`(\"])(?:export\s+|set\s+|setx\s+|-e\s+|ENV\s+)?(?:\$env:)?(?P<name>{_NAMES})\s{{0,2}}="
    r"\s{0,2}(?P<value>\"[^\"\n]{0,500}\"|'[^'\n]{0,500}'|[^\s`;]{0,500})"
)
_ENVIRON = regex(
    rf"environ\[[\"'](?P<name>{_NAMES})[\"']\]"
    r"(?:: (?P<shown>-?[\w,-]{0,200})\s*$|\s{0,2}=\s{0,2}(?:str\()?[\"'](?P<value>[^\"'\n]{0,500})[\"'])"
)
_IN_YAML = regex(rf"^\s{{2,24}}(?:- )?(?P<name>{_NAMES}):\s{{1,4}}[\"']?(?P<value>[^\s\"'#]{{1,200}})[\"']?\s*$")
_IN_JSON = regex(rf"\"(?P<name>{_NAMES})\": ?\"(?P<value>[^\"\n]{{0,500}})\"")
_IN_MAP = regex(rf"(?<=[\[ ])(?P<name>{_NAMES}):(?P<value>[^\s\]]{{0,200}})(?=[ \]])")
"""Go's way to print a map, `map[ONE:1 TWO:]`; an empty value is one that is not set."""
_IN_TABLE = regex(rf"^(?P<name>{_NAMES})\s{{2,40}}(?P<value>[^\s=:][^\s]{{0,500}})\s*$")
"""PowerShell's table of names and values."""
_ECHOES = regex(rf"\$\{{?({_NAMES})\b")
_ECHO = regex(rf"^(?:echo|printenv)\s+\"?[$%]?(?:env:)?\{{?(?P<name>{_NAMES})\b")


def read(page: Page, draft: Draft) -> None:
    """The first value of each variable stands. A line that sets one stays a message or a command."""
    for position, line in enumerate(page.lines):
        for pair in _IN_MAP.finditer(line.text) if "map[" in line.text else ():
            if pair["value"]:
                _seen(pair["name"], pair["value"], line, draft)
        for pair in _IN_JSON.finditer(line.text) if '": "' in line.text else ():
            _seen(pair["name"], pair["value"], line, draft)
        row = (_IN_YAML.match(line.text) if ": " in line.text else None) or _IN_TABLE.match(line.text)
        if row:
            _seen(row["name"], row["value"], line, draft)
        if (
            "=" not in line.text
            and "environ[" not in line.text
            and "echo" not in line.text
            and "printenv" not in line.text
        ):
            continue
        for match in (*_ENVIRON.finditer(line.text), *_ASSIGN.finditer(line.text)):
            value = match["value"] if match["value"] is not None else match["shown"]
            if value == "None":  # what Python says of a variable that is not set
                continue
            _seen(match["name"], value.strip("\"'"), line, draft)
        echo = _ECHO.match(command_of(line.text) or line.text.strip())
        if echo and position + 1 < len(page.lines):
            below = page.lines[position + 1]
            if command_of(below.text) is None:
                _several(position, page, draft)
                _seen(echo["name"], below.text.strip(), below, draft)


def _several(position: int, page: Page, draft: Draft) -> None:
    """`echo $ONE $TWO` and the values below, where there are as many."""
    names = _ECHOES.findall(command_of(page.lines[position].text) or page.lines[position].text)
    below = page.lines[position + 1]
    values = below.text.split()
    if len(names) > 1 and len(values) == len(names):
        for name, value in zip(names, values, strict=True):
            _seen(name, value, below, draft)


def _seen(name: str, value: str, line: Line, draft: Draft) -> None:
    if "proxy" in name.casefold():
        value = re.sub(r"//[^/@\s]*@", "//", value)
    draft.variables.setdefault(
        name, Variable(name=name, value=value, origin=line.where() if "@" not in line.text else "")
    )
