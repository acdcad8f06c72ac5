"""Text as lines that readers can walk: quote marks, colours, fences, carriage returns and entities taken off."""

import html
import re
from collections.abc import Iterator

from envcheck.diagnosis.evidence.wrappings import Told, Unwrapped
from envcheck.model.base import Plain
from envcheck.model.patterns import regex
from envcheck.model.unbroken import unbroken

_BUILDKIT = regex(r"^\s{0,12}#\d{1,3} (?:\d{1,5}\.\d{1,3} |\[[^\]\n]{1,40}\] RUN (?P<command>(?=\S)))")
"""What docker build puts before each line of a step, and before the step's command."""
_BUILT = regex(r"^\s{0,12}#\d{1,3} \d{1,5}\.\d{1,3} \S")
_ARROW = regex(r"\s{0,4}-{1,6}> ?\d{1,5} ")
_SOURCE = regex(r"\s{1,9}\d{1,5}(?:\s|$)")
_FRAME = 12
"""Lines of program text that IPython shows around one at most."""
_HEADING = regex(
    r"#{2,5} (?P<key>(?:[\w ]{0,24}\b)?(?:version|driver|GPU|OS|operating system|platform|python|(?:py)?torch|CUDA"
    r"|graphics card|model|系统|显卡|驱动|版本)\b[\w ]{0,12})[?:*]{0,2}$",
    re.IGNORECASE,
)
_FIELD = regex(r"[\w][\w .+()-]{0,59}$")
_FENCE = regex(r"^\s{0,8}(?:`{3,}|~{3,})\s{0,4}[\w.+-]{0,24}\s{0,4}$")
_STUCK_FENCE = regex(r"^\s{0,8}`{3,}(?=\S)|(?<=\S)\s?`{3,}\s{0,4}$")
"""A fence on the line of the text that it opens or closes."""
_UNSEEN = regex(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_PROMPT = regex(
    r"^\s{0,12}(?:\([\w.\-/\\ ]{1,60}\)\s{0,4})?"
    r"(?:[$%]|PS(?: [^>\n]{0,200})?>|[A-Za-z]:\\[^>\n]{0,200}>(?=[a-z])|[A-Za-z]:\\[^>\n]{0,200}>"
    r"|[\w.\-]{1,64}@[\w.\-]{1,64}[: ][^$#%\n]{0,200}[$#%]"
    r"|[\w.\-]{1,64}:[~/][\w./~-]{0,80} [\w.\-]{1,32}\$|[\w.\-]{1,64}:~ [\w.\-]{1,32}\$"
    r"|\[[\w.\-]{1,64}@[\w.\- ~/]{1,200}\][$#%]"
    r"|[~/][\w./~@+-]{0,120}\s?[$#]|(?:bash|sh|zsh|ksh)-\d\.\d{1,2}[$#]|root#|(?:└─|╰─)[$#❯➤]|[❯λ](?= )"
    r"|➜\s{1,3}\S{1,60}(?: git:\([^)\n]{1,60}\))?(?: ✗)?"
    r"|(?:\[[IN]\] )?[\w.\-]{1,64}@[\w.\-]{1,64}[: ][~/][\w./~-]{0,120}>|[\w.\-]{1,64}:[~/][\w./~-]{0,80}>)"
    r"(?:\s{1,4}|(?<=>))(?P<command>\S.*)$"
)
_PROGRAM = regex(
    r"^\s{0,12}(?:[!#%]\s?|\+{1,3} )?(?P<command>(?:[A-Z][A-Z0-9_]{2,40}=\S{0,200}\s+)*(?:sudo\s+(?:-\w+\s+)*)?"
    r"(?:(?:[\w.:\\-]{0,120}\\)?(?:python|py|python3(?:\.\d+)?|python\.exe)\s+-"
    r"|pip3?(?:\.\d+)?\s+(?:install|uninstall|download|list|show|config|cache)\b"
    r"|(?:conda|mamba|micromamba)\s+(?:install|create|update|config|env|list|info|remove)\b"
    r"|uv\s+(?:pip|add|sync|venv|run)\b|pixi\s+(?:add|install|run)\b|poetry\s+(?:add|install|run)\b"
    r"|docker(?:-compose)?\s+(?:run|exec|compose|build)\b|podman\s+run\b|srun\s|sbatch\s|torchrun\s|accelerate\s+launch\b"
    r"|modprobe\s|nvidia-smi\s+-|apt(?:-get)?\s+install\b|export\s+[A-Z]\w+=|set\s+[A-Z]\w+=).*)$"
)
_CHINESE = regex("[\u4e00-\u9fff\u3000-\u303f\uff00-\uffef]{2,1000}")
_USERINFO = regex(r"(?<=://)[^/@\s\"'<>]{1,300}@")
_TOKEN = regex(r"(?<=/t/)[\w-]{6,120}(?=/)")
_HOME = regex(r"/home/[^/\s\"'<>:]{1,64}(?=/)")
_NAMED_HOME = regex(
    r"(?P<homes>/Users/)[^/\s\"'<>:]{1,64}(?=/)|(?P<windows>[A-Za-z]:\\{1,2}Users\\{1,2})[^/\\\n\"'<>:]{1,64}(?=\\)"
)
_OWN_NAME = regex(r"(?<=[/\\])(?:<(?!env>|venv>)[\w .-]{1,24}>|\*{2,16}|\[[\w -]{1,20}\])(?=[/\\])")
_OWN_HOME = regex(r"(?<![\w/\\])<(?:home|HOME|\$HOME)>(?=(?P<windows>\\)|/)")
_BOLD = regex(r"(?<![\w*/\\)])\*\*(?=[^\s*])([^*\n]{1,80}?)(?<=\S)\*\*(?![\w*/\\(])")
"""Markdown's sign for what matters, around words of a line."""
_ENTRY = regex(
    r"^\s{0,8}\{?(?P<quote>['\"])(?P<key>[A-Z][\w ,.-]{1,40})(?P=quote): "
    r"(?P<around>['\"]?)(?P<value>[^'\"{}\[\]\n]{1,200})(?P=around)[,}]{0,2}\s{0,200}$"
)
"""A line of a report that was printed as a dict."""
_ROW = regex(
    r"^\s{0,4}\|?\s{0,4}(?P<key>[A-Za-z][A-Za-z0-9 ._()]{1,30}?)\s{0,40}\|"
    r"(?!\s{0,4}(?:[ez]?grep|findstr|head|tail|xargs|awk|sort|less|more|wc|tee|sed|cut|Select-String)\b)"
    r"\s{0,4}(?P<value>[^|\n]{1,100}?)\s{0,40}\|?$"
)
"""A row of a table with two columns."""
_BANNER = regex(r"^Collecting environment information\.\.\.\s{2,300}(?=\S)")
"""The first line of a report, where the window that it was copied from was wider."""
_TUPLE = regex(r"\('([A-Z][\w ,.-]{1,40}|sys\.platform)', '?((?:[^'\\]|\\.){1,4000}?)'?\)")
"""An entry of `OrderedDict([...])`, as mmengine prints its environment."""
_REPORT_KEY = regex(
    r"(?<=\S)\s(?=(?:PyTorch version|PyTorch|Is CUDA available|CUDA available|CUDA used to build PyTorch"
    r"|Is debug build|ROCM used to build PyTorch"
    r"|OS|GCC version|Clang version|CMake version|Libc version|Python version|Python platform"
    r"|CUDA runtime version|GPU models and configuration|GPU \d{1,2}(?: Compute Capability)?|Nvidia driver version"
    r"|cuDNN version|CUDA_HOME|NVCC|CUDA Driver Version|Versions of relevant libraries|Python|sglang):\s)"
)
"""Where the lines of a report began before somebody's quote made one of them."""
_HINT = regex(r"^(?P<key>[\s*-]{0,8}[A-Za-z][\w /]{1,40}?) \(e\.g\.?,?[^)`\n]{0,60}\):")
_ONE_LINE_REPORT, _FEW = 120, 5
MAX_LINE = 4096
HEAD, TAIL = 512 << 10, 256 << 10
"""Characters that are read of a long text: reports stand at its head, the last words at its tail."""
FIRST, LAST = 8_000, 4_000
"""Lines that are read of a text of very many short lines."""


class Line(Plain, frozen=True):
    """One line: its number in what was pasted (from 1) and its text without decoration."""

    number: int
    text: str
    part: int = 0
    """Which part, where one line of the text was a whole report."""

    def where(self) -> str:
        """`12: PyTorch version: 2.1.0`, short enough to quote."""
        text = command_of(self.text) or self.text.strip()
        return f"{self.number}: {text[:200]}{'...' if len(text) > 200 else ''}"


class Page:
    """The lines of one paste. Readers mark the lines that they understood with `take`."""

    def __init__(self, lines: list[Line], *, composed: Line | None = None) -> None:
        self.lines = lines
        self.composed = composed
        """The first line that docker compose or docker build logged: what stood in front of it is gone."""
        self._taken: set[tuple[int, int]] = set()
        self._denied: set[tuple[int, int]] = set()
        self.text = "\n".join(line.text for line in lines if line.text.strip())
        """What stands on the page: a pattern for lines is tried on it first."""
        self._position = {(line.number, line.part): position for position, line in enumerate(lines)}

    def take(self, line: Line) -> None:
        """This line's content has become facts and need not be searched as prose."""
        self._taken.add((line.number, line.part))

    def taken(self, line: Line) -> bool:
        """Whether a reader took this line."""
        return (line.number, line.part) in self._taken

    def deny(self, line: Line) -> None:
        """What this line names is not on the machine: an installer lists what it did not find."""
        self._denied.add((line.number, line.part))

    def denied(self, line: Line) -> bool:
        """Whether a reader denied this line."""
        return (line.number, line.part) in self._denied

    def whole(self) -> list[Line]:
        """The lines, those that a window broke into several put together again."""
        texts = unbroken([line.text for line in self.lines])
        return [Line(self.lines[at].number, text[:MAX_LINE]) for at, text in texts]

    def after(self, line: Line) -> Iterator[Line]:
        """The next (at most 200) lines below `line`, in order."""
        position = self._position[line.number, line.part] + 1
        return iter(self.lines[position : position + 200])


def page_of(text: str) -> Page:
    """Split and clean, credentials and home folders taken out. Line numbers are those of the text as pasted."""
    if len(text) <= HEAD + TAIL:
        numbered = list(enumerate(text.split("\n"), start=1))
    else:
        head, tail = text[:HEAD].split("\n"), text[-TAIL:].split("\n")[1:]
        first = text.count("\n") + 2 - len(tail)
        numbered = [*enumerate(head, start=1), *enumerate(tail, start=first)]
    # Of blank lines in a row only the first says something: a paragraph ends.
    told = [(number, raw) for at, (number, raw) in enumerate(numbered) if raw or at == 0 or numbered[at - 1][1]]
    if len(told) > FIRST + LAST:
        told = told[:FIRST] + told[-LAST:]
    unwrapped = Unwrapped(told)
    lines = list(_under_headings(_numbered(_without_source(unwrapped.told))))
    built = next((number for number, raw in told if "#" in raw[:16] and _BUILT.match(raw)), None)
    composed = next((line for line in lines if line.number in (unwrapped.composed, built)), None)
    return Page(lines, composed=composed)


def _without_source(told: Told) -> Told:
    """The lines without the program text that IPython shows around the line of a frame: nobody said that."""
    if not any("->" in text and _ARROW.match(text) for _, text in told):
        return told
    kept = [True] * len(told)
    for at, (_, text) in enumerate(told):
        if "->" not in text or not _ARROW.match(text):
            continue
        for step in (-1, 1):
            near = at + step
            while 0 <= near < len(told) and abs(near - at) <= _FRAME and _SOURCE.match(told[near][1]):
                kept[near] = False
                near += step
    return [line for line, keep in zip(told, kept, strict=True) if keep]


def _numbered(told: Told) -> Iterator[Line]:
    """The lines, those of one number told apart by their part."""
    last = part = 0
    for number, raw in told:
        part = part + 1 if number == last else 0
        last = number
        for text in _lines_of(raw):
            yield Line(number, _plain(text), part)
            part += 1
        part -= 1


def _under_headings(lines: Iterator[Line]) -> Iterator[Line]:
    """A short value below the heading of a form becomes `heading: value`, as one line of a report is."""
    asked: str | None = None
    for line in lines:
        text = line.text.strip()
        heading = _HEADING.match(text) if text.startswith("#") else None
        value = asked and not heading and _FIELD.match(text)
        yield Line(line.number, f"{asked}: {text}", line.part) if value else line
        if text:
            asked = heading["key"] if heading else None


def _lines_of(raw: str) -> list[str]:
    """One line, or those of a report that was printed or quoted as one."""
    if len(raw) > _ONE_LINE_REPORT:
        parts = [f"{key}: {value}" for key, value in _TUPLE.findall(raw)]
        parts = [line for part in parts for line in part.replace("\\n", "\n").split("\n")]
        if len(parts) < _FEW:
            parts = _REPORT_KEY.sub("\n", raw).split("\n")
        if len(parts) >= _FEW:
            return parts
    return [raw]


def decode(data: bytes) -> str:
    """Bytes as text: UTF-8 or UTF-16 by their mark (or by their zero bytes), a Chinese console's, or with gaps."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    head = data[:400]
    if head.count(0) * 3 > len(head):
        little = head[1::2].count(0) >= head[::2].count(0)
        return data.decode("utf-16-le" if little else "utf-16-be", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _of_chinese_windows(data) or data.decode("utf-8-sig", errors="replace")


def _of_chinese_windows(data: bytes) -> str | None:
    """The text when the bytes make sense as GB 18030: Chinese characters come in rows, other letters do not."""
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return None
    foreign = sum(char > "\x7f" for char in text[:20_000])
    rows = sum(map(len, _CHINESE.findall(text[:20_000])))
    return text if rows * 10 >= foreign * 7 else None


def command_of(text: str) -> str | None:
    """The command that a person typed on this line, if it is one."""
    match = _PROMPT.match(text) or _PROGRAM.match(text)
    return match["command"].strip() if match else None


def _plain(raw: str) -> str:
    text = raw[: 4 * MAX_LINE]
    text = text.rstrip("\r")
    if "\r" in text:  # a progress bar that was drawn over itself: the last state counts
        text = text.rsplit("\r", 1)[1]
    if "&" in text and ";" in text:
        text = html.unescape(text)
    if "%20" in text and " " not in text.strip():  # a sentence out of an address bar
        text = text.replace("%20", " ")
    if "<" in text or "**" in text:  # what people put in the place of their names
        text = _OWN_NAME.sub("user", text)
        text = _OWN_HOME.sub(lambda found: "C:\\Users\\user" if found["windows"] else "~", text)
    if "**" in text:
        text = _BOLD.sub(r"\1", text)
    if "/" in text or "\\" in text:  # what a post should not pass on: credentials and the user's name
        text = _HOME.sub("~", _TOKEN.sub("****", _USERINFO.sub("", text)))
        # The way homes are written there tells the system.
        text = _NAMED_HOME.sub(lambda found: (found["homes"] or found["windows"]) + "user", text)
    if "#" in text[:16]:
        text = _BUILDKIT.sub(r"\g<command>", text)
    text = _ENTRY.sub(r"\g<key>: \g<value>", _BANNER.sub("", text))
    if "(e.g" in text:  # a form that was filled in keeps its hints
        text = _HINT.sub(r"\g<key>:", text)
    if "|" in text:
        text = _ROW.sub(r"\g<key>: \g<value>", text)
    if _FENCE.match(text):
        return ""
    if "```" in text:
        text = _STUCK_FENCE.sub("", text)
    return _UNSEEN.sub("", text.replace("\xa0", " ").replace("\u3000", " "))[:MAX_LINE].rstrip()
