"""What torch's warnings, errors and build description give away about the machine. The lines stay messages."""

import re

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import Line, Page
from envcheck.model.patterns import regex
from envcheck.model.versions import cuda_of_int

_INCOMPATIBLE = regex(r"^\s*(?P<name>\S.{1,80}?) with CUDA capability sm_(?P<cc>\d{2,3}) is not compatible")
_SUPPORTS = regex(r"supports CUDA capabilit(?:ies|y) (?P<list>(?:(?:sm|compute)_\d{2,3}[a-z]?[\s,]{0,2}){1,40})")
_FOUND_GPU = regex(
    r"Found GPU\s?(?P<index>\d{1,3}) (?P<name>.{1,80}?) which is of (?:cuda|compute) capability"
    r" \(?\s?(?P<major>\d{1,2})\.\s?(?P<minor>\d)"
)
_WANTS_NEWER = regex(r"Found GPU\s?(?P<index>\d{1,3}) (?P<name>.{1,80}?) which requires CUDA_VERSION")
_FOUND_VERSION = regex(r"found version (?P<number>\d{4,6})\b")
_SITE_POSIX = regex(r"/lib(?:64)?/python(?P<version>3\.\d{1,2})/(?:site|dist)-packages/")
_SITE_WINDOWS = regex(
    r"[\\/](?:Programs[\\/]Python[\\/])?Python(?P<major>3)(?P<minor>\d{1,2})(?:-32)?[\\/](?:Lib[\\/]|site-packages[\\/]|Scripts[\\/]|python\.exe)",
    re.IGNORECASE,
)
_UV_PYTHON = regex(r"`cpython-(?P<version>3\.\d{1,2}\.\d{1,2})-(?P<os>windows|linux|macos)-")
_PYENV = regex(
    r"[\\/]versions[\\/](?P<version>3\.\d{1,2}\.\d{1,2})[\\/](?:bin[\\/])?python(?:3[\d.]{0,5})?(?:\.exe)?(?![\w.])"
)
_DRIVE = regex(
    r"(?:^|[\s\"'(])(?:[A-Za-z]:\\|<\w+>\\)[\w<.]|\\python\.exe\b"
    r"|\\site-packages\\torch\\|\\AppData\\|\[WinError \d+\]|\.dll\b"
)
_TOOLS_OWN = regex(r"/pipx/(?:venvs|shared)/|/uv/tools/|/pypoetry/|/\.poetry/|/poetry/(?:core|installation)/")
_TORCH_FILE = regex(r"(?:^|(?<=[\s\"'`(]))(?P<path>[^\s\"'`(]{0,300}[\\/]site-packages)[\\/]torch[\\/]")
_PYTHON_BANNER = regex(
    r"^\s*Python (?P<version>3\.\d{1,2}\.\d{1,2}) (?P<rest>[|(].*)$|^\s*Python (?P<alone>3\.\d{1,2}(?:\.\d{1,2})?)\s*$"
)
_NAMED_PYTHON = regex(
    r"^\s{0,4}Using CPython (?P<version>3\.\d{1,2}(?:\.\d{1,2})?)(?:\s|$)"
    r"|\b[Pp]ython (?:executable|interpreter|path|binary)\W{1,4}\S{0,200}?[\\/]python(?P<path>3\.\d{1,2})\s*$"
)
_CONDAS_PYTHON = regex(r"^\s{0,8}Your python: python=?=(?P<version>\d\.\d{1,2})\s*$")
_BUILT = (
    (re.compile(r"^\s{0,40}-?\s{0,8}CUDA Runtime (?P<value>\d+\.\d+)"), "torch.cuda"),
    (re.compile(r"\bCUDA_VERSION=(?P<value>\d+\.\d+)"), "torch.cuda"),
    (re.compile(r"\bTORCH_VERSION=(?P<value>\d[\w.+]*)"), "torch.version"),
    (
        re.compile(
            r"\b__version__(?:: str)? = "
            r"'(?P<value>\d{1,2}\.\d{1,2}\.\d{1,2}\w{0,20}\+(?:cpu|cu\d{2,3}|rocm[\d.]{1,6}))'"
        ),
        "torch.version",
    ),
    (re.compile(r"(?:^|:)cuda(?:: Optional\[str\])? = (?:None$|'(?P<value>\d{1,2}\.\d{1,2})')"), "torch.cuda"),
    (re.compile(r"^\s{0,40}-?\s{0,8}HIP Runtime (?P<value>\d[\w.]*)"), "torch.hip"),
    (re.compile(r"^\s{0,40}-?\s{0,8}CuDNN (?P<value>\d+\.\d+(?:\.\d+)?)"), "torch.cudnn"),
    (re.compile(r"CPU capability usage: (?P<value>[\w ]{2,20}?)\s*$"), "torch.cpu_capability"),
)
_WITHOUT_CUDA = regex(r"\bUSE_CUDA=(?:OFF|0)\b(?!.*USE_ROCM=(?:ON|1)\b)")
_BUILT_WITH, _SETTINGS, _RUNTIMES = "PyTorch built with:", "Build settings:", ("CUDA Runtime", "HIP Runtime")
_LIST_LINES = 30
_CONDAS_COMPILER = regex(r"CXX_COMPILER=\S{0,200}(?:-conda-|/feedstock_root/|/conda-bld/)")
_NOT_COMPILED = regex(r"Torch not compiled with CUDA enabled")
_BUILT_WITHOUT = regex(r"torch\b[^\n]{0,30}\bbuilt with CUDA\??\s{0,2}[:=]?\s{0,2}(?:False|No)\b", re.IGNORECASE)
_UNAVAILABLE = regex(
    r"\b(?:CUDA|GPU)(?: device| support)? (?:is (?:not|un)|isn't |not |must be )[ ]?ava(?:il|li)able\b"
    r"|\bTorch is not able to use GPU\b|can only be used on CUDA devices|we were unable to detect it\b"
    r"|does not support the current version of Torch/CUDA|only supported with GPUs, no GPUs found"
    r"|\bNo GPUs? (?:was |were )?found\b|setup doesn't support bf16/gpu"
    r"|没有发现支持的N卡|No supported N(?:-card|vidia GPU)s? (?:was |were )?found"
    r"|\bBut your machine only has: \[\]"
    r"|GPUAccelerator can not run on your system since the accelerator is not available"
    r"|\bNo CUDA runtime is found\b|\bUse pytorch device_name: cpu\b|\bCUDA is required but not available\b",
    re.IGNORECASE,
)
_NO_MODULE = regex(r"No module named '?torch'?(?:\s|$|\.$|;)")


def read(page: Page, draft: Draft) -> None:
    """Facts inside sentences that torch (or Python) prints."""
    for line in page.whole():
        if len(line.text) > 6:
            _devices(line, draft)
    for line in page.lines:
        if len(line.text) > 6:
            _build(line, draft)
            _paths(line, draft)
        if _BUILT_WITH in line.text and _lists_no_runtime(page, line):
            draft.see("torch.variant", "cpu", line, rank=4)
            draft.see("torch.cuda_known", True, line, rank=4)


def _lists_no_runtime(page: Page, first: Line) -> bool:
    """Whether `torch.__config__.show()` names no CUDA or HIP; the settings stand last, so the list is whole."""
    told = [first.text.partition(_BUILT_WITH)[2]]
    for line in page.after(first):
        if _SETTINGS in told[-1] or len(told) > _LIST_LINES:
            break
        told.append(line.text)
    listed, settings, _ = "\n".join(told).partition(_SETTINGS)
    return bool(settings) and not any(runtime in listed for runtime in _RUNTIMES)


def _devices(line: Line, draft: Draft) -> None:
    incompatible = _INCOMPATIBLE.match(line.text)
    if incompatible:
        digits = incompatible["cc"]
        name = re.sub(r"^.*?(?:UserWarning|warnings?\.warn)\W*", "", incompatible["name"]) or incompatible["name"]
        draft.gpu_named(name.strip(), line, compute_capability=f"{digits[:-1]}.{digits[-1]}")
    supports = _SUPPORTS.search(line.text)
    if supports:
        draft.see("torch.arch_list", tuple(re.findall(r"(?:sm|compute)_\d{2,3}[a-z]?", supports["list"])), line, rank=8)
    found = _FOUND_GPU.search(line.text)
    if found:
        draft.gpu(
            int(found["index"]), line, name=found["name"], compute_capability=f"{found['major']}.{found['minor']}"
        )
    wants = _WANTS_NEWER.search(line.text)
    if wants:
        draft.gpu(int(wants["index"]), line, name=wants["name"])
    version = _FOUND_VERSION.search(line.text)
    if version and int(version["number"]) >= 5000:
        draft.see_many("nvidia.cuda_versions", cuda_of_int(int(version["number"])), line)


def _build(line: Line, draft: Draft) -> None:
    for pattern, fact in _BUILT:
        match = pattern.search(line.text)
        if match:
            draft.see(fact, match["value"], line, rank=6)
            if fact in ("torch.cuda", "torch.hip"):
                draft.see("torch.cuda_known", True, line, rank=6)
    if "arch=compute_" in line.text:
        draft.see(
            "torch.arch_list",
            tuple(dict.fromkeys(re.findall(r"code=((?:sm|compute)_\d{2,3}[a-z]?)", line.text))),
            line,
            rank=6,
        )
    if "CXX_COMPILER=" in line.text and _CONDAS_COMPILER.search(line.text):
        draft.see("torch.installer", "conda", line)
    if "USE_CUDA=" in line.text and _WITHOUT_CUDA.search(line.text):
        draft.see("torch.variant", "cpu", line, rank=5)
        draft.see("torch.cuda_known", True, line, rank=5)
    if _NOT_COMPILED.search(line.text):
        draft.see("torch.cuda_known", True, line, rank=2)
        draft.see("torch.imported", True, line, rank=2)
        draft.see("torch.installed", True, line, rank=2)
    if _BUILT_WITHOUT.search(line.text):
        draft.see("torch.cuda_known", True, line, rank=3)
        draft.see("torch.installed", True, line, rank=2)
    if _UNAVAILABLE.search(line.text):
        draft.see("torch.cuda_available", False, line, rank=1)
    if _NO_MODULE.search(line.text):
        draft.see("torch.imported", False, line, rank=4)


def _paths(line: Line, draft: Draft) -> None:
    """Interpreter version, system and place of torch out of the paths in a traceback."""
    banner = _PYTHON_BANNER.match(line.text)
    if banner:
        draft.see("python.version", banner["version"] or banner["alone"], line, rank=6)
        bits = re.search(r"\b(32|64) bit \(", banner["rest"] or "")
        draft.see("python.bits", int(bits[1]) if bits else None, line)
        if "MSC v." in line.text:
            draft.see("host.os", "windows", line, rank=6)
    named = _NAMED_PYTHON.search(line.text) if "ython" in line.text else None
    if named:
        draft.see("python.version", named["version"] or named["path"], line, rank=4)
    condas = _CONDAS_PYTHON.match(line.text)
    if condas:
        draft.see("python.version", condas["version"], line, rank=6)
    managed = _UV_PYTHON.search(line.text)
    if managed:
        draft.see("python.version", managed["version"], line, rank=4)
        draft.see("host.os", managed["os"], line, rank=5)
    pyenv = _PYENV.search(line.text) if "versions" in line.text else None
    if pyenv:
        draft.see("python.version", pyenv["version"], line, rank=3)
    site = _SITE_POSIX.search(line.text)
    if site and not _TOOLS_OWN.search(line.text):
        draft.see("python.version", site["version"], line, rank=2)
    windows = _SITE_WINDOWS.search(line.text)
    if windows and not line.text.startswith("|"):  # nvidia-smi lists the processes of everybody
        draft.see("python.version", f"3.{windows['minor']}", line, rank=2)
    if _DRIVE.search(line.text):
        draft.see("host.os", "windows", line, rank=2)
    torch = _TORCH_FILE.search(line.text) if "site-packages" in line.text else None
    if torch and not torch["path"].startswith("<"):
        draft.see("torch.file", torch["path"].replace("\\", "/") + "/torch", line, rank=2)
