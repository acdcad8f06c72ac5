"""Facts in the making: values with the line each came from, several for one fact where the text contradicts itself."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from envcheck.diagnosis.evidence.page import Line, Page, command_of
from envcheck.model.base import Plain
from envcheck.model.facts import (
    ApiStatus,
    Facts,
    Gpu,
    KernelModule,
    Message,
    Observation,
    Package,
    PciDevice,
    Setting,
    Sighting,
    Tool,
    Variable,
)
from envcheck.model.patterns import regex

LOOK = "text"
WORDS = "words"
"""The look of a card that somebody only names: it does not show that the driver answers."""
MAX_MESSAGES = 400
MAX_SEEN = 64
MAX_GPUS = 64
MAX_BLOCK_LINES = 40
_WORDS = (
    "error|warn|fail|except|cannot|couldn't|could not|not |no |undefined|traceback|cuda|xid|nvrm|hip|illegal"
    "|sig|denied|refused|timeout|timed out|time out|space|omp|invalid|lost|stub|abort|core dumped|403|404|407"
    "|ssl|hash|mismatch|looking in|collecting|using cached|downloading|hint:|-cu11|-cu12|-cu13|nouveau|tegra"
    "|jetson|sbatch|#pbs|#bsub|#$ -|secureboot|licence|license|fabric|kfd|gfx|.dll|proxy|pyqt|pyside|paddle"
    "|libcu|nvidia|::|_cpu_|cpuonly|channels:|server_hostname|secure boot|reject|satisf|exceed|reset|unreach"
    "|violation|unexpected|disconnect|handshake|socks|crc|corrupt|fatal|elf|already|bound to|paging|require"
    "|unsupported|untrusted|revocation|known|provided|http|... done|outdated|from 'typing|tres=cpu"
    "|resource_list|requested resources|podman|kind:|image:|srun|salloc|nerdctl|kube|exit|capabilities"
    "|resolvepackage|0xc0|cuinit|library|ld-musl|rocm|rocr|miopen|hcc_|hsa_|opcode|err!|zipfile|singularity"
    "|apptainer|referenced|rev_|rev |befehl|container|too old|unable|unavail|busy|gpu|torch|python|driver"
    "|decompress|conda|pip|wheel|glibc|kernel|docker|slurm|openmp|packagenotfound|missing in current|zertifikat"
    "|certificat|certificado|too slow|available devices are| -> python|able to be loaded|status=4|cudnn|qsub"
    "|faulting module|%matplotlib|call to cu|numpy|ignored the following|explicitly assigned|runtimes|4/ill"
    "|urandom|successfully installed|name  |nvml_success|1073741795|ephemeral|upgraded linux|suspend"
    "|basic display|runc null|devicerequests|segmentation fault|sigsegv|memory access fault|amdgpu_get_auth"
    "|/dev/dri/renderd|executable file not found|installed in this system is|xformers was built for"
    "|flashattention only supports|cublas_status_not_supported|] run |step |running in |10060"
    "|did not match content-length|not compiled with|returned 35|error 35|error: 35"
    "|returned 38|returned 100|cuinit failed|gpu requires reset|fabric state|libnvidia-ml.so.1|nvml.dll|code 43"
    "|nvidia-dkms|using cpu device|exit status 18|entering sleep state|not defined in file|hip error"
    "|hsa_status_error|hiperror|cudnn_status_|cudnn error|nvrm: |no matching distribution found for torch"
    "|is not a supported wheel|undefined symbol: _zn|cudnn_status_arch_mismatch|the program 'nvidia-smi'"
    "|nvidia pascal|unsupported sm|status: 403|object with static tls"
    "|or one of its dependencies|in <module>|sent code 132"
    "|webui-|zluda|prime-select|supergfxctl|envycontrol|=> not found|expected sha256|is incompatible with|u ijit_"
    "|kb/s eta|43)|err: 999|kmp_|100% /|:00.0 off|127.0.0.1:|localhost:|pciehp|stubs|sm_num_gpus|3221225501"
    "|device: cpu|device=cpu|device = cpu|device='cpu|colab|kaggle|/content|autodl"
)
_IMAGE_TAG = regex(r"(?P<version>\d[\w.]{0,20})-cuda(?P<cuda>\d{1,2}\.\d{1,2})[\w.-]{0,40}")
"""A version as images are named, and as some people write it: 1.0.0-cuda9.0-cudnn7."""
_TELLING_WORDS = tuple(_WORDS.split("|"))
_TELLING_FORMS = regex(
    r"could ?n.t|fallen|i?n?stru[czk\u00e7]"
    r"|[\u0400-\u04ff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]"  # a console of another language
)


def telling(text: str) -> bool:
    """Whether a pasted paragraph is kept. What a signature knows must pass: a test sees to it."""
    lower = text.lower()  # words first: a pattern of all of them takes 5 ms to compile
    return any(word in lower for word in _TELLING_WORDS) or bool(_TELLING_FORMS.search(lower))


_CONTINUES = regex(r"\s[\\^`]\Z")
_NOTHING = Line(0, "")
_ERROR_LINE = regex(r"(?!.*Traceback \(most recent)[\w.]{1,60}(?:Error|Exception|Warning|Interrupt|Exit)\b(?::|$)")
_FAILED = regex(
    r"error|exception|traceback|fail|\bfault\b|core dumped|\baborted\b"
    r"|错误|失败|非法|核心已转储|エラー|コアダンプ|오류|ошибка|fehler",
    re.IGNORECASE,
)


_TURNS = frozenset(("torch.version", "torch.cuda_available", "torch.cuda"))
"""Facts of which the last stands where a build with CUDA was replaced by one without."""


class _Seen(Plain, frozen=True):
    rank: int
    value: Any
    line: Line


class Draft:
    """What readers have understood so far."""

    def __init__(self) -> None:
        self._seen: dict[str, list[_Seen]] = {}
        self._many: dict[str, dict[str, Sighting]] = {}
        self.gpus: dict[int, dict[str, Any]] = {}
        self.packages: dict[tuple[str, str | None], Package] = {}
        self.tools: dict[str, Tool] = {}
        self.variables: dict[str, Variable] = {}
        self.settings: list[Setting] = []
        self.modules: dict[str, KernelModule] = {}
        self.pci: dict[str, PciDevice] = {}
        self.statuses: list[ApiStatus] = []
        self.smi_ran = False

    def see(self, path: str, value: object, line: Line, rank: int = 5) -> None:
        """`value` was read for the fact at `path`; of several, the higher `rank`, then the earlier, is in force."""
        tagged = _IMAGE_TAG.fullmatch(str(value)) if path == "torch.version" else None
        if tagged:
            value = tagged["version"]
            self.see("torch.cuda", tagged["cuda"], line, rank)
            self.see("torch.cuda_known", True, line, rank)
        seen = self._seen.setdefault(path, []) if value is not None and value != "" else None
        if seen is not None and len(seen) < MAX_SEEN:
            seen.append(_Seen(rank, value, line))

    def see_many(self, path: str, value: str, line: Line) -> None:
        """`value` was read for a fact that keeps every sighting (driver and CUDA versions)."""
        self._many.setdefault(path, {}).setdefault(value, Sighting(value=value, look=LOOK, where=line.where()))

    def seen_many(self, path: str) -> bool:
        """Whether anything was read for a fact that keeps every sighting."""
        return bool(self._many.get(path))

    def best(self, path: str) -> Any | None:
        """The value in force for `path` so far."""
        seen = self._ranked(path)
        return seen[0].value if seen else None

    def line_of(self, path: str) -> Line | None:
        """The line that the value in force for `path` came from."""
        seen = self._ranked(path)
        return seen[0].line if seen else None

    def gpu(self, index: int, line: Line, **values: object) -> None:
        """Something about the GPU at `index`; earlier words stand."""
        if index not in self.gpus and len(self.gpus) >= MAX_GPUS:
            return
        row = self.gpus.setdefault(index, {"index": index})
        row["look"] = LOOK
        for key, value in values.items():
            if value is not None and key not in row:
                row[key] = value
                self._many.setdefault(f"nvidia.gpus[{index}].{key}", {})[str(value)] = Sighting(
                    value=str(value), look=LOOK, where=line.where()
                )

    def gpu_told(self, name: str, line: Line) -> None:
        """A GPU that somebody only names, in words of their own."""
        known = set(self.gpus)
        self.gpu_named(name, line)
        for index in set(self.gpus) - known:
            self.gpus[index]["look"] = WORDS

    def gpu_named(self, name: str, line: Line, **values: object) -> None:
        """Something about a GPU known by its name only."""
        indices = [index for index, row in self.gpus.items() if same_gpu(row.get("name"), name)]
        if not indices and not any(row.get("name") is None for row in self.gpus.values()):
            indices = [max(self.gpus, default=-1) + 1]
        for index in indices or [0]:
            self.gpu(index, line, name=name, **values)

    def package(
        self,
        name: str,
        version: str | None,
        line: Line,
        *,
        installer: str | None = None,
        build: str | None = None,
        channel: str | None = None,
    ) -> None:
        """An installed distribution was listed."""
        key = (name, installer)
        if key not in self.packages:
            self.packages[key] = Package(name=name, version=version, installer=installer, build=build, channel=channel)
            self._many.setdefault(f"packages[{name}]", {})[str(version)] = Sighting(
                value=str(version), look=LOOK, where=line.where()
            )

    def _ranked(self, path: str) -> list[_Seen]:
        ranked = sorted(self._seen.get(path, ()), key=lambda seen: -seen.rank)
        if path in _TURNS and len(ranked) > 1 and self._turned_to_cpu():
            last = [one for one in ranked if one.rank == ranked[0].rank][-1]
            ranked = [last, *(one for one in ranked if one is not last)]
        return ranked

    def _turned_to_cpu(self) -> bool:
        """Whether a build with CUDA was shown first and one without it last: what was installed between counts."""
        versions = [str(one.value) for one in self._seen.get("torch.version", ())]
        return versions[-1:] != [] and versions[-1].endswith("+cpu") and any("+cu" in one for one in versions[:-1])

    def facts(self, page: Page) -> Facts:
        """Freeze. Contradictions stay visible in `sightings`."""
        tree: dict[str, dict[str, Any]] = {}
        for path in self._seen:
            section, field = path.split(".", 1)
            tree.setdefault(section, {})[field] = self._ranked(path)[0].value
        nvidia = tree.setdefault("nvidia", {})
        for field in ("driver_versions", "library_versions", "cuda_versions"):
            nvidia[field] = tuple(self._many.get(f"nvidia.{field}", {}).values())
        nvidia["gpus"] = tuple(msgspec.convert(row, Gpu) for _, row in sorted(self.gpus.items())) or None
        nvidia["modules"] = tuple(self.modules.values()) or None
        nvidia["statuses"] = tuple(self.statuses)
        document = {
            **tree,
            "source": "text",
            "observations": (Observation(look=LOOK, state="ok"),),
            "pci": tuple(self.pci.values()) or None,
            "packages": tuple(self.packages.values()) or None,
            "variables": tuple(self.variables.values()) or None,
            "settings": tuple(self.settings) or None,
            "tools": tuple(self.tools.values()) or None,
            "messages": _messages(page),
            "sightings": self._sightings(),
        }
        return msgspec.convert(document, Facts, from_attributes=False)

    def _sightings(self) -> dict[str, tuple[Sighting, ...]]:
        single = {path: _distinct(self._ranked(path)) for path in self._seen}
        return single | {path: tuple(values.values()) for path, values in self._many.items()}


_ASKS_WHERE = regex(
    r"(?:which|where|command -v|type -p)(?:\.exe)? (?:pip|python)[\d.]{0,5}$"
    r"|where(?:\.exe)? (?:/r \S{1,120} )?\S{1,40}\.dll$|(?:sudo )?prime-select query$"
    r"|supergfxctl -g$|(?:sudo )?envycontrol (?:-q|--query)$"
)
"""Commands of which the answer alone says nothing."""


def same_gpu(known: str | None, name: str) -> bool:
    """Whether two spellings name the same product: `NVIDIA GeForce ...` is cut, older drivers leave out `NVIDIA`."""
    if known is None:
        return False
    one, other = (text.removeprefix("NVIDIA ").strip().casefold() for text in (known, name))
    for short, long in ((one, other), (other, one)):
        if short.endswith("...") and long.startswith(short[:-3].strip()):
            return True
    return one == other


def _distinct(seen: list[_Seen]) -> tuple[Sighting, ...]:
    found: dict[str, Sighting] = {}
    for one in seen:
        found.setdefault(str(one.value), Sighting(value=str(one.value), look=LOOK, where=one.line.where()))
    return tuple(found.values())


def _messages(page: Page) -> tuple[Message, ...]:
    """What programs said, a paragraph a message, and each command that a person typed."""
    messages: list[Message] = []
    block: list[Line] = []
    rest = iter(page.lines)
    for line in rest:
        command = None if page.taken(line) else command_of(line.text)
        blank = not line.text.strip()
        if blank and block and _open_traceback(block):
            continue
        ends = blank or page.taken(line) or command is not None or len(block) >= MAX_BLOCK_LINES
        if ends:
            _close(block, messages)
            block = []
        if command is not None:
            command = _continued(command, rest)
            messages.append(Message(kind="command", text=command, look=LOOK, where=line.where()))
            if _ASKS_WHERE.match(command):
                block.append(line)
        elif line.text.strip() and not page.taken(line):
            block.append(line)
    _close(block, messages)
    if len(messages) > MAX_MESSAGES:  # a long log: its last words and what stands out
        messages = messages[: MAX_MESSAGES // 2] + messages[-MAX_MESSAGES // 2 :]
    return tuple(messages)


def _continued(command: str, rest: Iterator[Line]) -> str:
    """A command with the lines on which it goes on: each before them ends with a backslash, ^ or a backtick."""
    for _ in range(MAX_BLOCK_LINES):
        if not _CONTINUES.search(command):
            break
        command = f"{command[:-1].rstrip()} {next(rest, _NOTHING).text.strip()}"
    return command


def _open_traceback(block: list[Line]) -> bool:
    """Whether a traceback has begun in these lines and its error is still to come: IPython puts blank lines between."""
    begun = any("Traceback (most recent call last)" in line.text for line in block)
    return begun and not any(_ERROR_LINE.match(line.text) for line in block)


def _close(block: list[Line], messages: list[Message]) -> None:
    text = "\n".join(line.text for line in block)
    if not block or not telling(text):
        return
    kind = "warning" if re.search(r"warning", text, re.IGNORECASE) else "log"
    if _FAILED.search(text):
        kind = "error"
    where = block[0].where()
    messages.append(msgspec.convert({"kind": kind, "text": text[:8192], "look": LOOK, "where": where}, Message))
